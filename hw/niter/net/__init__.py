"""The overlay: rows of stages between the virtio network devices and the wire."""

from .classify import Classify
from .config import OverlayConfig, StageList
from .decapsulate import Decapsulate
from .drop import Drop
from .ecn import CombineEcn
from .encapsulate import Encapsulate
from .endpoint import EndpointWords
from .lookup import MAPPING_HASH, KeyKind, Lookup, SlotLayout
from .mapping import LOCAL, UNDERLAY_NETWORK, UNDERLAY_VNI, Mapping
from .mtu import SizeLimit
from .overlay import RECEIVE, TRANSMIT, Overlay
from .parser import Parser
from .peers import Peers
from .pipeline import Pipeline
from .replicate import Deliver, Replicate
from .source import PortRecord, SourceCheck
from .stage import Stage, pass_frame
from .steer import Steer
from .steering import SERVICES, Steering
from .table import Table
from .tunnel import Descriptor, TunnelLayout

__all__ = [
    "LOCAL",
    "MAPPING_HASH",
    "RECEIVE",
    "SERVICES",
    "TRANSMIT",
    "UNDERLAY_NETWORK",
    "UNDERLAY_VNI",
    "Classify",
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
    "Overlay",
    "OverlayConfig",
    "Parser",
    "Peers",
    "Pipeline",
    "PortRecord",
    "Replicate",
    "SizeLimit",
    "SlotLayout",
    "SourceCheck",
    "Stage",
    "StageList",
    "Steer",
    "Steering",
    "Table",
    "TunnelLayout",
    "pass_frame",
]
