"""TPC-H's customers, orders and lineitems as DynamoDB items, in one table or lineitems alone.

Proportions, ranges and formulas are those of the specification, sections 4.2.2 and 4.2.3; texts are shorter lists.
https://www.tpc.org/TPC_Documents_Current_Versions/pdf/TPC-H_v3.0.1.pdf
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from bench.ecommerce import money

# Of 357 neighbouring items: 1 customer has 10 orders, an order 1 to 7 lines, 4 on average.
_CUSTOMERS, _ORDERS, _LINES = 7, 70, 280
GROUP = _CUSTOMERS + _ORDERS + _LINES
LINE_PLACES = tuple((order, line) for order in range(7) for line in range(1, order + 2))
"""Of 28 neighbouring lineitems: which of 7 orders they are of, and their number there."""

_FIRST_DAY, _DAYS = date(1992, 1, 1), 2406  # orders are of 1992-01-01 to 1998-08-02
_CURRENT = date(1995, 6, 17)
_SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD")
_PRIORITIES = ("1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW")
_INSTRUCTIONS = ("DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN")
_MODES = ("REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB")
_WORDS = (
    *("furiously", "quickly", "carefully", "blithely", "slyly", "ironic", "final", "bold", "regular", "express"),
    *("packages", "requests", "accounts", "deposits", "foxes", "ideas", "theodolites", "pinto", "beans", "sleep"),
)

_KEYS = '"PK":{"S":"%s"},"SK":{"S":"%s"}'
_CUSTOMER = (
    ',"Type":{"S":"Customer"},"c_custkey":{"N":"%d"},"c_name":{"S":"Customer#%09d"},"c_address":{"S":"%s"},'
    '"c_nationkey":{"N":"%d"},"c_phone":{"S":"%d-%03d-%03d-%04d"},"c_acctbal":{"N":"%s"},"c_mktsegment":{"S":"%s"},'
    '"c_comment":{"S":"%s"}'
)
_ORDER = (
    ',"Type":{"S":"Order"},"o_orderkey":{"N":"%d"},"o_custkey":{"N":"%d"},"o_orderstatus":{"S":"%s"},'
    '"o_totalprice":{"N":"%s"},"o_orderdate":{"S":"%s"},"o_orderpriority":{"S":"%s"},"o_clerk":{"S":"Clerk#%09d"},'
    '"o_shippriority":{"N":"0"},"o_comment":{"S":"%s"}'
)
_LINEITEM = (
    ',"Type":{"S":"Lineitem"},"l_orderkey":{"N":"%d"},"l_partkey":{"N":"%d"},"l_suppkey":{"N":"%d"},'
    '"l_linenumber":{"N":"%d"},"l_quantity":{"N":"%d"},"l_extendedprice":{"N":"%s"},"l_discount":{"N":"%s"},'
    '"l_tax":{"N":"%s"},"l_returnflag":{"S":"%s"},"l_linestatus":{"S":"%s"},"l_shipdate":{"S":"%s"},'
    '"l_commitdate":{"S":"%s"},"l_receiptdate":{"S":"%s"},"l_shipinstruct":{"S":"%s"},"l_shipmode":{"S":"%s"},'
    '"l_comment":{"S":"%s"}'
)


class Tpch:
    """All three in one table: PK is that of the customer or the order, SK the entity. Any size, in constant memory."""

    table = "tpch"

    def __init__(self, items: int, seed: int) -> None:
        self._items = items
        self._salt = Random(seed).getrandbits(32)

    def item(self, number: int, version: int) -> tuple[str, str]:
        """The key and the rest of the image, as the insides of JSON objects."""
        group, place = divmod(number, GROUP)
        bits = self._bits(number, version)
        if place < _CUSTOMERS:
            return self._customer(group * _CUSTOMERS + place + 1, bits)
        place -= _CUSTOMERS
        if place < _ORDERS:
            return self._order(group * _ORDERS + place, bits)
        return self._line(group * _LINES + place - _ORDERS, bits)

    def _bits(self, number: int, version: int) -> int:
        # The finalizer of MurmurHash3, 64 bits: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
        bits = (number * 2654435761 + version * 40503 + self._salt) & 0xFFFFFFFFFFFFFFFF
        bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
        bits = (bits ^ bits >> 33) * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
        return bits ^ bits >> 33

    def _customer(self, key: int, bits: int) -> tuple[str, str]:
        nation = bits % 25
        phone = (nation + 10, 100 + bits % 899, 100 + (bits >> 10) % 899, 1000 + (bits >> 20) % 8999)
        return _KEYS % (f"CUSTOMER#{key}", "CUSTOMER"), _CUSTOMER % (
            *(key, key, _text(bits, 2), nation, *phone, money((bits >> 30) % 1_099_899)),
            *(_SEGMENTS[bits % 5], _text(bits >> 7, 6)),
        )

    def _order(self, number: int, bits: int) -> tuple[str, str]:
        key, day = _order_key(number), _order_day(number)
        customer = number % max(1, self._items * _CUSTOMERS // GROUP) + 1
        customer -= customer % 3 == 0  # a third of the customers has no orders
        status = "F" if day + timedelta(121) < _CURRENT else "O" if day > _CURRENT else "P"
        return _KEYS % (f"ORDER#{key}", "ORDER"), _ORDER % (
            *(key, customer, status, money(90_000 + bits % 50_000_000), day, _PRIORITIES[bits % 5]),
            *((bits >> 8) % 1000 + 1, _text(bits >> 9, 5)),
        )

    def _line(self, number: int, bits: int) -> tuple[str, str]:
        block, place = divmod(number, len(LINE_PLACES))
        order, line = block * 7 + LINE_PLACES[place][0], LINE_PLACES[place][1]
        key, ordered = _order_key(order), _order_day(order)
        part, quantity = bits % 200_000 + 1, (bits >> 18) % 50 + 1
        price = 90_000 + part // 10 % 20_001 + 100 * (part % 1000)
        shipped = ordered + timedelta((bits >> 24) % 121 + 1)
        received = shipped + timedelta((bits >> 31) % 30 + 1)
        returned = ("R", "A")[bits >> 36 & 1] if received <= _CURRENT else "N"
        return _KEYS % (f"ORDER#{key}", f"LINE#{line}"), _LINEITEM % (
            *(key, part, bits % 10_000 + 1, line, quantity, money(quantity * price)),
            *(money((bits >> 37) % 11), money((bits >> 41) % 9), returned, "O" if shipped > _CURRENT else "F"),
            *(shipped, ordered + timedelta((bits >> 45) % 61 + 30), received),
            *(_INSTRUCTIONS[bits >> 51 & 3], _MODES[(bits >> 53) % 7], _text(bits >> 20, 4)),
        )


class Lineitems(Tpch):
    """Lineitems alone: the 30.1 million rows of the benches."""

    table = "lineitem"

    def item(self, number: int, version: int) -> tuple[str, str]:
        """As in Tpch."""
        return self._line(number, self._bits(number, version))


def _order_key(number: int) -> int:
    """Order keys are sparse: the first 8 of every 32."""
    return (number >> 3 << 5) + (number & 7) + 1


def _order_day(number: int) -> date:
    return _FIRST_DAY + timedelta(number * 7919 % _DAYS)


def _text(bits: int, words: int) -> str:
    return " ".join(_WORDS[(bits >> 5 * n) % len(_WORDS)] for n in range(words))
