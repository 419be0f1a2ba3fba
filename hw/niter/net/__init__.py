"""The overlay: rows of stages between the virtio network devices and the wire."""

from .config import OverlayConfig, StageList
from .decapsulate import Decapsulate, EndpointWords
from .drop import Drop
from .ecn import CombineEcn
from .encapsulate import Descriptor, Encapsulate, TunnelLayout
from .lookup import MAPPING_HASH, SLOT_WORDS, KeyKind, Lookup
from .mapping import LOCAL, Mapping
from .mtu import SizeLimit
from .neighbour import Neighbour
from .overlay import RECEIVE, TRANSMIT, Overlay
from .parser import FLOW_HASH, Parser
from .pipeline import Pipeline
from .replicate import Deliver, Replicate
from .source import UNDERLAY_VNI, PortRecord, SourceCheck
from .stage import Stage, pass_frame
from .steer import Steer
from .table import Table

__all__ = [
    "FLOW_HASH",
    "LOCAL",
    "MAPPING_HASH",
    "RECEIVE",
    "SLOT_WORDS",
    "TRANSMIT",
    "UNDERLAY_VNI",
    "CombineEcn",
    "Decapsulate",
    "Deliver",
    "Descriptor",
    "Drop",
    "Encapsulate",
    "EndpointWords",
    "KeyKind",
    "Lookup",
    "Mapping",
    "Neighbour",
    "Overlay",
    "OverlayConfig",
    "Parser",
    "Pipeline",
    "PortRecord",
    "Replicate",
    "SizeLimit",
    "SourceCheck",
    "Stage",
    "StageList",
    "Steer",
    "Table",
    "TunnelLayout",
    "pass_frame",
]
