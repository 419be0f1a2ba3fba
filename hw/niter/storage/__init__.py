"""Block storage that is somewhere else: transports, and the stages in front of them."""
