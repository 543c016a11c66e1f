"""What goes over the wire: messages to arrays and back, what is refused, and the services."""
