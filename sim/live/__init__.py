"""The card as a running process, with a host on one side and a wire on the other."""
