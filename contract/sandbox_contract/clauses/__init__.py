"""What tries each clause: one function a clause, which raises when the promise is broken."""
