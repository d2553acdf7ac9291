"""What runs inside an instance of the rehearsal. Standard library only; nothing here knows of moto."""
