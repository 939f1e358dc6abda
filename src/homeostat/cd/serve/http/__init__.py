"""What HTTP says of a request and of a reply: who may come in, what is compressed, and how errors are told."""
