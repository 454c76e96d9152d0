"""Faults: each kind does what its words say, the same each time, and only where and when it should."""

from __future__ import annotations

import asyncio
import itertools
import json
from random import Random

import pytest
import websocket

from pipeline.lab import tampering
from pipeline.lab.coinbase import CoinbaseSession
from pipeline.lab.exchange import Close, Frame, Ping
from pipeline.lab.faults import (
    COMMAND_KINDS,
    FRAME_KINDS,
    HANDSHAKE_KINDS,
    KINDS,
    ONCE_KINDS,
    Bytes,
    Cut,
    Deaf,
    Drip,
    Fault,
    Faults,
    Hush,
    Refusal,
)
from pipeline.lab.kalshi import KalshiSession
from pipeline.lab.kraken import KrakenSession
from pipeline.lab.market import MarketModel
from pipeline.lab.polymarket import PolymarketSession
from pipeline.lab.server import LabServer
from pipeline.lab.trouble import Stream

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
NUMBERED = ("kalshi", "coinbase")


def sessions(model):
    """A session of each venue and the command that subscribes to its books."""
    tickers = [event.ticker for event in model.live]
    tokens = [event.yes_token for event in model.live]
    book = {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": 25}
    products = ["BTC-USD", "ETH-USD"]
    params = {"channels": ["orderbook_delta"], "market_tickers": tickers, "use_yes_price": True}
    life = {"id": 2, "cmd": "subscribe", "params": {"channels": ["market_lifecycle_v2"]}}
    instruments = {"method": "subscribe", "params": {"channel": "instrument"}}
    return {
        "kalshi": (KalshiSession(model), [{"id": 1, "cmd": "subscribe", "params": params}, life]),
        "polymarket": (PolymarketSession(model), [{"type": "market", "assets_ids": tokens}]),
        "kraken": (KrakenSession(model, 1), [instruments, {"method": "subscribe", "params": book}]),
        "coinbase": (
            CoinbaseSession(model),
            [{"type": "subscribe", "channel": "level2", "product_ids": products}],
        ),
    }


class Line:
    """One venue's honest session behind a stream of faults, on a world of its own."""

    def __init__(self, venue, *faults, seed=3, subscribe=True):
        self.model = MarketModel(7, 1.0, 1_795_000_000_000, coinbase_levels=40)
        self.venue, self.faults = venue, Faults(seed)
        self.faults.set(faults)
        self.stream = Stream(self.faults, venue)
        self.session, self.commands = sessions(self.model)[venue]
        self.honest: list[Frame] = []
        self.out: list[object] = []
        self.put(self.session.opened(self.model.time.wall_ms))
        if subscribe:
            self.subscribe()

    def put(self, frames):
        """Let frames of the session through."""
        self.honest += frames
        time = self.model.time
        self.out += self.stream.sent(frames, time.elapsed_ms, time.wall_ms)

    def say(self, command):
        """Send a command as the client."""
        text = json.dumps(command)
        answers = self.stream.heard(text, self.model.time.elapsed_ms)
        self.put(self.session.received(text, self.model.time.wall_ms) if answers is None else answers)
        return answers

    def subscribe(self):
        """Subscribe to all books."""
        for command in self.commands:
            self.say(command)

    def run(self, steps):
        """Let the world go on."""
        for _ in range(steps):
            self.model.step(lambda item: self.put(self.session.emitted(item, self.model.time.wall_ms)))
            self.put(self.session.ticked(self.model.time.wall_ms))
        return self

    def books(self, frames=None):
        """The book frames among what was sent."""
        frames = self.out if frames is None else frames
        return [f for f in frames if isinstance(f, str) and tampering.is_kind(self.venue, f, "book")]

    def numbers(self):
        """Sequence numbers of all that is counted with the books, in order."""
        found = [tampering.numbering(self.venue, text) for text in self.out if isinstance(text, str)]
        key = tampering.numbering(self.venue, self.books()[0])[0]
        return [each[1] for each in found if each and each[0] == key]

    def steps(self):
        """From each number to the next."""
        numbers = self.numbers()
        return [b - a for a, b in itertools.pairwise(numbers)]


@pytest.mark.parametrize("venue", VENUES)
def test_without_faults_every_frame_passes_as_it_is(venue: str) -> None:
    """A stream without faults changes nothing and sends nothing of its own."""
    line = Line(venue).run(200)
    assert line.out == line.honest
    assert len(line.books()) > 10


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in HANDSHAKE_KINDS])
def test_the_same_seed_makes_the_same_trouble(venue: str, kind: str) -> None:
    """Every kind can be set, and does the same to the same frames twice; another seed differs or not."""
    market = {"kalshi": "KX", "polymarket": "1", "kraken": "BTC/USD", "coinbase": "BTC-USD"}[venue]
    text = {"value": "size 1", "digit": "price", "tick": "0.001", "status": "maintenance"}.get(kind, "")
    fault = Fault(venue, kind, market=market, chance=0.3, number=2, seconds=1.0, text=text)
    try:
        runs = [Line(venue, fault, seed=5).run(60) for _ in range(2)]
    except ValueError as error:
        assert "exists at" in str(error)
        return
    assert runs[0].out == runs[1].out
    assert runs[0].faults.acted == runs[1].faults.acted


def test_what_cannot_be_is_refused_in_words() -> None:
    """Unknown venues and kinds, and kinds without what they need, are refused in a sentence."""
    for fault, words in (
        (Fault("binance", "drop"), "no venue 'binance'"),
        (Fault("kraken", "dorp"), "no fault 'dorp'"),
        (Fault("kraken", "pause"), "needs a market"),
        (Fault("coinbase", "checksum"), "exists at kraken only"),
    ):
        with pytest.raises(ValueError, match=words):
            Faults().set([fault])
    assert not set(FRAME_KINDS) & set(ONCE_KINDS) | set(COMMAND_KINDS) & set(HANDSHAKE_KINDS)


@pytest.mark.parametrize("venue", NUMBERED)
def test_a_lost_frame_leaves_a_hole_and_a_frozen_one_none(venue: str) -> None:
    """drop leaves a jump in the numbers; freeze leaves none, so only the silence betrays it."""
    dropped = Line(venue, Fault(venue, "drop", first=12, times=1)).run(100)
    frozen = Line(venue, Fault(venue, "freeze", first=12, times=1)).run(100)
    assert dropped.steps().count(2) == 1 and set(dropped.steps()) == {1, 2}
    assert len(frozen.books()) == len(frozen.books(frozen.honest)) - 1
    assert set(frozen.steps()) == {1}


@pytest.mark.parametrize("venue", NUMBERED)
def test_numbers_can_jump_and_go_back(venue: str) -> None:
    """jump moves this number and all that follow, up or down, and changes nothing else."""
    for by in (5, -3):
        line = Line(venue, Fault(venue, "jump", first=12, times=1, number=by)).run(100)
        assert line.steps().count(1 + by) == 1 and set(line.steps()) == {1, 1 + by}


@pytest.mark.parametrize("venue", VENUES)
def test_order_and_number_of_frames(venue: str) -> None:
    """duplicate doubles, delay lets later frames pass, repeat brings an old one, flood brings many."""
    honest = Line(venue).run(100).books()
    double = Line(venue, Fault(venue, "duplicate", first=10, times=1)).run(100).books()
    assert double == [*honest[:11], honest[10], *honest[11:]]
    swapped = Line(venue, Fault(venue, "delay", first=10, times=1)).run(100).out
    plain = [f for f in Line(venue).run(100).out if isinstance(f, str)]
    at = plain.index(honest[10])
    assert swapped[at : at + 2] == [plain[at + 1], plain[at]]
    again = Line(venue, Fault(venue, "repeat", first=10, times=1, number=4)).run(100).books()
    assert len(again) == len(honest) + tampering.is_kind(venue, again[11], "book")
    flood = Line(venue, Fault(venue, "flood", first=10, times=1, number=50)).run(100).out
    found = [f for f in flood if isinstance(f, Bytes)]
    assert [len(f.data) for f in found] == [50 * len(tampering.text_frame(honest[10].encode()))]


@pytest.mark.parametrize("venue", VENUES)
def test_one_digit_is_one_digit(venue: str) -> None:
    """digit changes one character of one number of a level; value puts a word in its place."""
    random = Random(2)
    for text in Line(venue).run(100).books():
        for where in ("price", "size", ""):
            wrong = tampering.flip_digit(venue, text, random, where)
            pairs = [(a, b) for a, b in zip(text, wrong, strict=True) if a != b]
            assert len(pairs) <= 1 and all(a.isdigit() and b.isdigit() for a, b in pairs)
            assert pairs or wrong == text
    text = Line(venue).run(100).books()[-1]
    assert "1e999" in tampering.put_value(venue, text, "1e999", "price")
    assert "-7" in tampering.put_value(venue, text, "-7", "size")


@pytest.mark.parametrize("venue", VENUES)
def test_texts_are_cut_and_spoilt(venue: str) -> None:
    """cut leaves a beginning; spoil leaves the length and a whole WebSocket frame."""
    cut = Line(venue, Fault(venue, "cut", first=10, times=1)).run(100)
    whole = Line(venue).run(100).books()[10]
    assert [f for f in cut.out if isinstance(f, str) and whole.startswith(f) and f != whole]
    spoilt = Line(venue, Fault(venue, "spoil", first=10, times=1)).run(100).out
    found = [f for f in spoilt if isinstance(f, Bytes)]
    assert len(found) == 1 and len(found[0].data) == len(tampering.text_frame(whole.encode()))
    assert found[0].data != tampering.text_frame(whole.encode())


def test_times_and_checksums_are_changed_and_nothing_else() -> None:
    """skew moves every stamp by what it says; checksum changes Kraken's number alone."""
    for venue in VENUES:
        text = Line(venue).run(100).books()[-1]
        moved = tampering.move_times(text, 3600)
        assert moved != text and tampering.move_times(moved, -3600) == text, venue
    text = Line("kraken").run(100).books()[-1]
    wrong = tampering.wrong_checksum(text)
    assert json.loads(wrong)["data"][0].pop("checksum") != json.loads(text)["data"][0].pop("checksum")
    assert tampering.wrong_checksum(wrong) == text


def test_only_one_market_can_freeze() -> None:
    """With a market given, frames of the others pass."""
    line = Line("kraken", Fault("kraken", "freeze", market="BTC/USD")).run(200)
    assert not [text for text in line.books() if "BTC/USD" in text]
    assert [text for text in line.books() if "ETH/USD" in text]


def test_a_fault_has_its_time() -> None:
    """Between from_ms and until_ms a fault acts, and neither before nor after."""
    line = Line("kalshi", Fault("kalshi", "drop", from_ms=300, until_ms=600)).run(30)
    assert line.out == line.honest
    line.run(30)
    lost = len(line.honest) - len(line.out)
    assert lost > 0
    line.run(100)
    assert len(line.honest) - len(line.out) == lost == line.faults.acted["drop"]


def test_acknowledged_and_then_silent() -> None:
    """Without books, what is no book still comes: acknowledgements and pongs."""
    line = Line("kraken", Fault("kraken", "drop")).run(300)
    assert not line.books()
    assert any('"success":true' in text for text in line.out)
    quiet = Line("kraken", Fault("kraken", "drop", what="data"), subscribe=False).run(5)
    quiet.say({"method": "ping"})
    assert '"method":"pong"' in quiet.out[-1]


def test_breaking_the_line_ends_the_stream() -> None:
    """After a torn line or half a frame nothing more is sent; a close is a close with its code."""
    for kind, expected in (
        ("reset", Cut(True)),
        ("fin", Cut(False)),
        ("half", Bytes(tampering.text_frame(b"x" * 300)[:5])),
        ("close", Close(1013, "try again later")),
    ):
        number = {"half": 5, "close": 1013}.get(kind, 1)
        fault = Fault("coinbase", kind, first=3, number=number, text="try again later")
        line = Line("coinbase", fault).run(100)
        assert line.out.count(expected) == 1
        assert kind == "close" or line.out[-1] == expected
    drip = Line("kalshi", Fault("kalshi", "drip", seconds=0.4)).run(5)
    assert drip.out[-2:] == [Deaf(), Drip(tampering.text_frame(b"x" * 300), 0.4)]
    assert isinstance(Line("kalshi", Fault("kalshi", "huge")).run(1).out[-1], Bytes)


def test_announcements_are_numbered_like_all_others() -> None:
    """What a fault announces carries the next number, and the honest frames after it move up."""
    line = Line("coinbase", Fault("coinbase", "pause", market="BTC-USD", first=5)).run(100)
    numbers = [tampering.numbering("coinbase", text)[1] for text in line.out]
    assert numbers == list(range(len(numbers)))
    assert sum('"channel":"status"' in text for text in line.out) == 1
    line = Line("kalshi").run(5)
    line.faults.set([Fault("kalshi", "result", market="KX-1")])
    line.run(20)
    words = [json.loads(text) for text in line.out if "market_lifecycle_v2" in text]
    assert words[-1]["seq"] == 1 and words[-1]["msg"]["event_type"] == "determined"


def test_kraken_says_how_it_is() -> None:
    """The exchange's status and one pair's are told in Kraken's own frames."""
    faults = [
        Fault("kraken", "status", text="maintenance"),
        Fault("kraken", "pause", market="BTC/USD", first=1),
    ]
    texts = [json.loads(f) for f in Line("kraken", *faults).run(5).out]
    assert any(t.get("channel") == "status" and t["data"][0]["system"] == "maintenance" for t in texts)
    update = next(t for t in texts if t.get("channel") == "instrument" and t["type"] == "update")
    (pair,) = update["data"]["pairs"]
    assert (pair["symbol"], pair["status"], pair["qty_precision"]) == ("BTC/USD", "cancel_only", 8)


def test_kalshi_ends_and_refuses_subscriptions() -> None:
    """error 25 names the subscription, which must then be made anew; 26 refuses a command."""
    line = Line("kalshi").run(5)
    line.faults.set([Fault("kalshi", "error", number=25)])
    line.run(1)
    hush, text = line.out[-2:]
    assert isinstance(hush, Hush)
    assert (json.loads(text)["msg"]["code"], json.loads(text)["sid"]) == (25, 1)
    line.session.received(hush.command, line.model.time.wall_ms)
    line.faults.set([])
    line.subscribe()
    assert any('"type":"subscribed"' in f and '"sid":3' in f for f in line.out if isinstance(f, str))
    line = Line("kalshi", Fault("kalshi", "refuse", number=26, times=1))
    assert json.loads(line.out[0]) == {
        "type": "error",
        "id": 1,
        "msg": {"code": 26, "msg": "Subscription market limit exceeded"},
    }
    line.subscribe()
    assert line.books()


def test_coinbase_and_kraken_refuse_in_their_own_words() -> None:
    """Too many level2 products is an error frame without a channel; too many requests is an Error."""
    line = Line("coinbase", Fault("coinbase", "refuse"))
    assert json.loads(line.out[-1])["message"].startswith("too many L2 streams")
    line = Line("kraken", Fault("kraken", "refuse"))
    assert json.loads(line.out[-1]) == {"Error": "Exceeded msg rate"}


def test_polymarket_sends_no_first_books_above_a_number_of_assets() -> None:
    """no_book keeps first books back on a connection of more assets than `number`; changes come."""
    many = Line("polymarket", Fault("polymarket", "no_book", number=3)).run(200)
    few = Line("polymarket", Fault("polymarket", "no_book", number=100)).run(200)
    kinds = [tampering.is_kind("polymarket", f, "snapshot") for f in many.books()]
    assert kinds and not any(kinds)
    assert few.out == few.honest


def test_a_mute_venue_hears_no_command() -> None:
    """mute loses a command, and the session never knows of it."""
    line = Line("coinbase", Fault("coinbase", "mute", times=1))
    assert line.out == []
    line.subscribe()
    assert line.books()


def test_handshakes_are_refused_as_data_says() -> None:
    """Status, Retry-After and Location are the fault's; `times` ends it."""
    faults = Faults()
    faults.set(
        [
            Fault("kalshi", "refuse_handshake", number=429, seconds=7, times=1),
            Fault("kalshi", "refuse_handshake", number=302, text="ws://127.0.0.1:1/", times=1),
            Fault("kalshi", "no_handshake", times=1),
        ]
    )
    found = [faults.handshake("kalshi", 0) for _ in range(4)]
    assert found == [
        Refusal(429, {"Retry-After": "7"}),
        Refusal(302, {"Location": "ws://127.0.0.1:1/"}),
        Refusal(0, {}),
        None,
    ]
    assert faults.handshake("kraken", 0) is None


def test_pings_of_the_session_pass() -> None:
    """Frames that are no text are the session's own business."""
    line = Line("kalshi", Fault("kalshi", "drop", what="any")).run(1_100)
    assert any(isinstance(frame, Ping) for frame in line.out)
    assert not [frame for frame in line.out if isinstance(frame, str)]


def test_faults_act_on_sockets_while_the_server_runs() -> None:
    """Set and taken back in a running server: refused, torn, half a frame, and then all is well."""

    async def main() -> None:
        server = LabServer(MarketModel(7, 1.0, 1_795_000_000_000, coinbase_levels=40))
        await server.start()
        url = server.addresses()["kraken"]["ws"]

        def talk(count: int) -> list[bytes]:
            ws = websocket.create_connection(url, timeout=5, skip_utf8_validation=True)
            try:
                return [ws.recv() for _ in range(count)]
            finally:
                ws.shutdown()

        try:
            server.set_faults([Fault("kraken", "refuse_handshake", number=503, seconds=2)])
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                await asyncio.to_thread(talk, 1)
            assert refused.value.status_code == 503
            assert {k.lower(): v for k, v in refused.value.resp_headers.items()}["retry-after"] == "2"
            server.set_faults([Fault("kraken", "reset")])
            with pytest.raises((OSError, websocket.WebSocketException)):
                await asyncio.to_thread(talk, 2)
            server.set_faults([])
            assert b"online" in (await asyncio.to_thread(talk, 1))[0].encode()
            assert [attempt.status for attempt in server.attempts] == [503, 101, 101]
        finally:
            await server.stop()

    asyncio.run(main())
