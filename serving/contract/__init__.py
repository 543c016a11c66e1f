"""Does an exported model keep what servers and clients count on: asked in a process of its own, before it is pushed."""
