"""The packed form: RecordIO files, the shuffle that orders them, and the manifest that describes them."""
