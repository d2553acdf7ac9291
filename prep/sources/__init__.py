"""Sources of archives: a web server, a bucket or a folder; and how a file is fetched from a source."""
