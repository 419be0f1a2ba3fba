"""The overlay as a whole, against frames that scapy builds and takes apart."""

from sim.net.overlay.figures import (
    frames_per_second_in,
    frames_per_second_out,
)
from sim.net.overlay.paths import (
    a_partial_checksum_moves_with_the_frame,
    arp_is_answered,
    broadcast_is_replicated,
    every_kind_of_frame_goes_through_both_ways,
    functions_of_one_card_reach_each_other,
    solicitations_are_answered,
    the_underlay_finds_the_endpoint,
    tunnels_of_all_kinds,
)
from sim.net.overlay.rejection import (
    a_damaged_frame_keeps_its_mark,
    cut_off_at_every_byte,
    damaged_at_random,
    ecn_goes_on_inside,
    marks_on_the_way_out,
    what_a_function_may_not_send,
    what_is_not_for_the_card,
)
from sim.net.overlay.setup import BENCH

__all__ = [
    "BENCH",
    "a_damaged_frame_keeps_its_mark",
    "a_partial_checksum_moves_with_the_frame",
    "arp_is_answered",
    "broadcast_is_replicated",
    "cut_off_at_every_byte",
    "damaged_at_random",
    "ecn_goes_on_inside",
    "every_kind_of_frame_goes_through_both_ways",
    "frames_per_second_in",
    "frames_per_second_out",
    "functions_of_one_card_reach_each_other",
    "marks_on_the_way_out",
    "solicitations_are_answered",
    "the_underlay_finds_the_endpoint",
    "tunnels_of_all_kinds",
    "what_a_function_may_not_send",
    "what_is_not_for_the_card",
]
