"""The web page of a run: what it shows, its pictures and the server that answers."""
