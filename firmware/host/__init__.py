"""The firmware as a process of this machine."""
