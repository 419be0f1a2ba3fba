"""The overlay: a row of stages between the virtio network devices and the wire."""

from .config import OverlayConfig
from .parser import FLOW_HASH, Parser
from .pipeline import Pipeline
from .stage import Stage, pass_frame
from .table import Table

__all__ = ["FLOW_HASH", "OverlayConfig", "Parser", "Pipeline", "Stage", "Table", "pass_frame"]
