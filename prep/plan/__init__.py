"""What a preparation takes and costs, and what limits it, from published and measured rates."""
