"""Takes its interpreter along."""

import os

os._exit(3)
