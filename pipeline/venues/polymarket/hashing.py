"""Polymarket's hashes: the SHA-1 that names the state of a book, and the Keccak-256 that names an order.

In: a book as REST sends it, its texts as sent; the fields of an order. Out: digests in hexadecimal. Pure.
The lab stamps its books with the one; the other is the id that the venue gives an order, known before the
order is sent. Sources: the venue's own SDK, polymarket-client 0.14.0; EIP-712; FIPS 202 before its padding
was changed, which is what Ethereum calls Keccak-256.

Whether the hashes of books on the WebSocket are over the same bytes is not published: compare REST books
alone.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import UNSET, UnsetType

from pipeline.venues.polymarket.frames import BookLevel

CHAIN_ID = 137
EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEGATIVE_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)

_RATE_BYTES = 136
_MASK = (1 << 64) - 1
_ROTATIONS = (
    (0, 36, 3, 41, 18),
    (1, 44, 10, 45, 2),
    (62, 6, 43, 15, 61),
    (28, 55, 25, 21, 56),
    (27, 20, 39, 8, 14),
)


class HashedBook(msgspec.Struct, gc=False):
    """The fields that the hash is over, in its order; one that the answer leaves out is left out."""

    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: list[BookLevel]
    asks: list[BookLevel]
    min_order_size: str | UnsetType = UNSET
    tick_size: str | UnsetType = UNSET
    neg_risk: bool | UnsetType = UNSET
    last_trade_price: str | UnsetType = UNSET


def book_hash(book: HashedBook) -> str:
    """SHA-1, in hexadecimal, of the book as compact JSON with an empty `hash`, levels in the order sent."""
    content = msgspec.json.encode(msgspec.structs.replace(book, hash=""))
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


class HashedOrder(msgspec.Struct, frozen=True):
    """What an order's signature is over, amounts in millionths. `side` 0 buys and 1 sells, the timestamp is
    in milliseconds, addresses and 32-byte words are hexadecimal with 0x.
    """

    salt: int
    maker: str
    signer: str
    token_id: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp_ms: int
    metadata: str = "0x" + 64 * "0"
    builder: str = "0x" + 64 * "0"


def order_hash(order: HashedOrder, contract: str = EXCHANGE) -> str:
    """The EIP-712 digest of an order for one of the exchange's contracts: what is signed, and its id."""
    domain = keccak256(
        keccak256(_DOMAIN_TYPE)
        + keccak256(b"Polymarket CTF Exchange")
        + keccak256(b"2")
        + _word(CHAIN_ID)
        + _word(int(contract, 16))
    )
    fields = (
        order.salt,
        int(order.maker, 16),
        int(order.signer, 16),
        order.token_id,
        order.maker_amount,
        order.taker_amount,
        order.side,
        order.signature_type,
        order.timestamp_ms,
        int(order.metadata, 16),
        int(order.builder, 16),
    )
    content = keccak256(keccak256(_ORDER_TYPE) + b"".join(map(_word, fields)))
    return "0x" + keccak256(b"\x19\x01" + domain + content).hex()


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def keccak256(data: bytes) -> bytes:
    """Keccak with 256 bits, padded as Ethereum pads. A few milliseconds: for orders, not for messages."""
    padded = bytearray(data)
    padded += bytes(_RATE_BYTES - len(data) % _RATE_BYTES)
    padded[len(data)] ^= 0x01
    padded[-1] ^= 0x80
    state = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE_BYTES):
        for at in range(_RATE_BYTES // 8):
            word = padded[start + 8 * at : start + 8 * at + 8]
            state[at % 5][at // 5] ^= int.from_bytes(word, "little")
        state = _permuted(state)
    return b"".join(state[at % 5][at // 5].to_bytes(8, "little") for at in range(4))


def _permuted(state: list[list[int]]) -> list[list[int]]:
    """The 24 rounds of Keccak-f[1600]; `state[x][y]` is a lane."""
    register = 1
    for _ in range(24):
        columns = [lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3] ^ lanes[4] for lanes in state]
        mixed = [columns[x - 1] ^ _rotated(columns[(x + 1) % 5], 1) for x in range(5)]
        moved = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                moved[y][(2 * x + 3 * y) % 5] = _rotated(state[x][y] ^ mixed[x], _ROTATIONS[x][y])
        state = [
            [moved[x][y] ^ (~moved[(x + 1) % 5][y] & moved[(x + 2) % 5][y] & _MASK) for y in range(5)]
            for x in range(5)
        ]
        # The round's constant comes bit by bit out of a shift register.
        for bit in range(7):
            if register & 1:
                state[0][0] ^= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    return state


def _rotated(lane: int, places: int) -> int:
    return (lane << places | lane >> (64 - places)) & _MASK
