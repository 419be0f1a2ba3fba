"""The layer 3 of the dissector: ARP, IPv4, and IPv6 with its extension headers."""

from amaranth import C, Cat, Signal, Value
from amaranth.lib import enum

from .protocol import EtherType

__all__ = ["InternetLayer", "State"]


class State(enum.Enum, shape=4):
    """Which header the word at hand belongs to."""

    ETHERNET = 0
    TYPE = 1
    ARP = 2
    IPV4 = 3
    SKIP = 4
    IPV6 = 5
    EXTENSION = 6
    FRAGMENT = 7
    PORTS = 8
    UDP_LENGTH = 9
    ICMP = 10
    SOLICITATION = 11
    DONE = 12


class InternetLayer:
    """Part of ``Dissector``, which has the registers; each method adds the cases of a header to the
    switch over its state."""

    ipv6: bool
    word: Signal
    headers: Value
    _high: Value
    _low: Value
    _state: Signal
    _index: Signal
    _offset: Signal
    _skip: Signal
    _length: Signal
    _slack: Signal
    _beyond: Signal
    _exact: Signal
    _fills: Signal
    _address: Signal
    _hashed: Signal
    _follows: Signal
    _refuse: Signal

    def _arp(self, m):
        headers = self.headers
        with m.Case(State.ARP), m.Switch(self._index):
            with m.Case(0):
                self._refuse_if(m, self.word != (1 << 16 | EtherType.IPV4))
            with m.Case(1):
                self._refuse_if(m, self._high != 0x0604)
                m.d.sync += headers.l4_source.eq(self._low)
            with m.Case(2):
                m.d.sync += headers.arp_foreign.eq(self.word != headers.source[16:])
            with m.Case(3):
                with m.If(self._high != headers.source[:16]):
                    m.d.sync += headers.arp_foreign.eq(1)
                m.d.sync += headers.ip_source[16:32].eq(self._low)
                m.d.sync += headers.unspecified.eq(self._low == 0)
            with m.Case(4):
                m.d.sync += headers.ip_source[:16].eq(self._high)
                with m.If(self._high != 0):
                    m.d.sync += headers.unspecified.eq(0)
            with m.Case(6):
                m.d.sync += headers.ip_destination[:32].eq(self.word)
                self._enter(m, State.DONE)

    def _ipv4(self, m):
        headers, word = self.headers, self.word
        with m.Case(State.IPV4), m.Switch(self._index):
            with m.Case(0):
                version, words, total = word[28:], word[24:28], self._low
                m.d.sync += [headers.tos.eq(word[16:24]), self._skip.eq((words - 5)[:4])]
                m.d.comb += self._length.eq(total)
                m.d.sync += self._fills.eq(self._exact)
                short = (total[6:] == 0) & (total[2:6] < words)
                self._refuse_if(m, (version != 4) | (words < 5) | short | self._beyond)
            with m.Case(1):
                m.d.sync += headers.fragment.eq(word[:14] != 0)
            with m.Case(2):
                m.d.sync += [headers.ttl.eq(word[24:]), headers.protocol.eq(word[16:24])]
            with m.Case(3):
                m.d.sync += [headers.ip_source[:32].eq(word), headers.unspecified.eq(word == 0)]
                m.d.comb += [self._hashed.eq(1), self._address.eq(1)]
            with m.Case(4):
                m.d.sync += headers.ip_destination[:32].eq(word)
                m.d.comb += [self._hashed.eq(1), self._address.eq(1)]
                with m.If(self._skip[:4] != 0):
                    self._enter(m, State.SKIP)
                with m.Else():
                    self._leave(m)
        with m.Case(State.SKIP):
            m.d.sync += self._skip.eq(self._skip - 1)
            with m.If(self._skip == 1):
                self._leave(m)

    def _ipv6(self, m):
        headers, word = self.headers, self.word
        with m.Case(State.IPV6), m.Switch(self._index):
            with m.Case(0):
                m.d.sync += headers.tos.eq(word[20:28])
                self._refuse_if(m, word[28:] != 6)
            with m.Case(1):
                m.d.sync += [headers.protocol.eq(word[8:16]), headers.ttl.eq(word[:8])]
                m.d.comb += self._slack.eq(-36)
                m.d.sync += self._fills.eq(self._exact)
                self._refuse_if(m, self._beyond)
            with m.Case(2):
                m.d.sync += headers.link_local.eq(word[22:] == 0xFE80 >> 6)
                self._address6(m, headers.ip_source)
                m.d.sync += headers.unspecified.eq(word == 0)
            with m.Case(3, 4, 5):
                self._address6(m, headers.ip_source)
                with m.If(word != 0):
                    m.d.sync += headers.unspecified.eq(0)
            with m.Case(6, 7, 8, 9):
                self._address6(m, headers.ip_destination)
                with m.If(self._index == 9):
                    self._leave(m)

    def _extensions(self, m):
        headers, word = self.headers, self.word
        with m.Case(State.EXTENSION):
            # Its length counts units of eight bytes beyond the first.
            m.d.sync += [headers.protocol.eq(word[24:]), self._skip.eq(Cat(C(1, 1), word[16:24]))]
            self._enter(m, State.SKIP)
        with m.Case(State.FRAGMENT):
            with m.If(self._index[0] == 0):
                m.d.sync += headers.protocol.eq(word[24:])
                # An offset, or more to come; neither is an atomic fragment (RFC 6946).
                m.d.sync += headers.fragment.eq(Cat(word[0], word[3:16]) != 0)
            with m.Else():
                self._leave(m)

    def _address6(self, m, field):
        m.d.sync += field.eq(Cat(self.word, field)[:128])
        m.d.comb += [self._hashed.eq(1), self._address.eq(1)]

    def _leave(self, m):
        """Go on behind an IP or extension header."""
        # The first word began two bytes before the frame, and this one ends four further on.
        m.d.sync += self.headers.l4_offset.eq(Cat(C(2, 2), self._offset))
        m.d.sync += [self._state.eq(self._follows), self._index.eq(0)]

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _refuse_if(self, m, condition):
        m.d.comb += self._refuse.eq(condition)
