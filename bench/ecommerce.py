"""The items of an invented shop in one table: customers, e-mail addresses, orders, and order items."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

TABLE = "arn:aws:dynamodb:eu-central-1:123456789012:table/ecommerce"
BEGIN = 1767322800  # 2026-01-02T03:00:00Z
KSUID_EPOCH = 1_400_000_000  # https://github.com/segmentio/ksuid
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

FIRST_NAMES = (
    *("Ada", "Bruno", "Chloe", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaori"),
    *("Lucía", "Mateo", "Noor", "Olga", "Pavel", "Quinn", "Rosa", "Søren", "Tomas", "Uma", "Zoë"),
)
LAST_NAMES = (
    *("Abadi", "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jansen"),
    *("Kowalski", "Lindqvist", "Moreau", "Novak", "O'Brien", "Petrov", "Rossi", "Schmidt", "Tanaka"),
)
STREETS = ("Main Street", "Station Road", "Mill Lane", "Hafenstraße", "Rue du Port", "Via Roma", "Park Avenue")
CITIES = (
    *(("Hamburg", "20457", "DE"), ("Lyon", "69002", "FR"), ("Turin", "10121", "IT")),
    *(
        ("Omaha", "68102", "US"),
        ("Leeds", "LS1 4AP", "GB"),
        ("Kraków", "30-001", "PL"),
    ),
)
PRODUCTS = (
    *(("Coffee grinder, burr, 40 settings", 8900), ("Notebook A5, dotted", 650), ('Desk lamp 12\\" brass', 4590)),
    *(("Rain jacket, blue, M", 11900), ("Chess set", 2995), ("USB-C cable 2 m", 899), ("Olive oil 0.75 l", 1450)),
    *(("Running socks (3 pairs)", 1299), ("Enamel mug", 1150), ("Table tennis bat", 3480), ("Wool blanket", 6400)),
)
STATUSES = ("PLACED", "SHIPPED", "DELIVERED", "CANCELLED")

# What 16 neighbouring items are; an order has two order items.
CUSTOMERS, EMAILS, ORDERS, ORDER_ITEMS = 2, 2, 4, 8
GROUP = CUSTOMERS + EMAILS + ORDERS + ORDER_ITEMS
LINES = 5  # of an order that has its items inside it

KEYS = '"PK":{"S":"%s"},"SK":{"S":"%s"}'
CUSTOMER = (
    ',"Type":{"S":"Customer"},"Username":{"S":"%s"},"Email address":{"S":"%s@example.com"},"Name":{"S":"%s %s"},'
    '"Addresses":{"M":{"Home":{"M":{"StreetAddress":{"S":"%d %s"},"City":{"S":"%s"},'
    '"PostalCode":{"S":"%s"},"Country":{"S":"%s"}}}}},"TotalOrders":{"N":"%d"},"TotalSpent":{"N":"%s"}'
)
ORDER = (
    ',"Type":{"S":"Order"},"Username":{"S":"%s"},"OrderId":{"S":"%s"},"CreatedAt":{"S":"%s"},"Status":{"S":"%s"},'
    '"TotalAmount":{"N":"%s"},"NumberItems":{"N":"%d"},"Address":{"S":"{\\"City\\":\\"%s\\",\\"Country\\":\\"%s\\"}"},'
    '"GSI1PK":{"S":"ORDER#%s"},"GSI1SK":{"S":"ORDER#%s"}'
)
ORDER_ITEM = (
    ',"Type":{"S":"OrderItem"},"OrderId":{"S":"%s"},"ItemId":{"S":"%s"},"Description":{"S":"%s"},"Price":{"N":"%s"},'
    '"Amount":{"N":"%d"},"TotalCost":{"N":"%s"},"GSI1PK":{"S":"ORDER#%s"},"GSI1SK":{"S":"ITEM#%s"}'
)
LINE = '{"M":{"Sku":{"S":"%s"},"Description":{"S":"%s"},"Price":{"N":"%s"},"Amount":{"N":"%d"},"TotalCost":{"N":"%s"}}}'


def ksuid(seconds: int, payload: int) -> str:
    """An id that begins with its time: 32 bits of seconds, 128 of `payload`, in 27 characters of base 62."""
    number = (seconds - KSUID_EPOCH << 128) | payload
    digits = []
    for _ in range(27):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def money(cents: int) -> str:
    """An amount as DynamoDB keeps it: without trailing zeros."""
    text = f"{cents // 100}.{cents % 100:02d}"
    return text.rstrip("0").rstrip(".")


class Shop:
    """The items by number. An item's key and each version of its image follow from the number alone.

    `customers_before`: those of other shops, so that several make one table without a key in common.
    """

    table = "ecommerce"

    def __init__(self, items: int, seed: int, *, customers_before: int = 0) -> None:
        rng = Random(seed)
        self._salt = rng.getrandbits(32)
        groups = items // GROUP + 1
        self._usernames = [
            f"{FIRST_NAMES[n % 22][:3]}{LAST_NAMES[n % 19]}{n}".lower().replace("'", "")
            for n in range(customers_before, customers_before + groups * CUSTOMERS)
        ]
        self._created = [BEGIN - rng.randrange(40 * 86400) for _ in range(groups * ORDERS)]
        self._orders = [ksuid(at, rng.getrandbits(128)) for at in self._created]

    def item(self, number: int, version: int) -> tuple[str, str]:
        """The key and the rest of the image, as the insides of JSON objects."""
        group, place = divmod(number, GROUP)
        bits = self._bits(number, version)
        if place < CUSTOMERS:
            return self._customer(group * CUSTOMERS + place, version, bits)
        place -= CUSTOMERS
        if place < EMAILS:
            key = f"CUSTOMEREMAIL#{self._usernames[group * EMAILS + place]}@example.com"
            return KEYS % (key, key), ""
        place -= EMAILS
        if place < ORDERS:
            return self._order(group * ORDERS + place, version, bits)
        return self._order_item(group * ORDER_ITEMS + place - ORDERS, bits)

    def _bits(self, number: int, version: int) -> int:
        bits = (number * 2654435761 + version * 40503 + self._salt) & 0xFFFFFFFF
        return ((bits >> 15 ^ bits) * 0x2C1B3C6D & 0xFFFFFFFF) ^ bits >> 12

    def _customer(self, number: int, version: int, bits: int) -> tuple[str, str]:
        username = self._usernames[number]
        city, code, country = CITIES[bits % 6]
        key = "CUSTOMER#" + username
        return KEYS % (key, key), CUSTOMER % (
            *(username, username, FIRST_NAMES[number % 22], LAST_NAMES[number % 19]),
            *(bits % 90 + 1, STREETS[bits % 7], city, code, country),
            *(version, money(version * 3000 + bits % 9999)),
        )

    def _order(self, number: int, version: int, bits: int) -> tuple[str, str]:
        username, order = self._usernames[number // 2], self._orders[number]
        city, _, country = CITIES[number % 6]
        created = datetime.fromtimestamp(self._created[number], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return KEYS % ("CUSTOMER#" + username, "#ORDER#" + order), ORDER % (
            *(username, order, created, STATUSES[(version - 1) % 4]),
            *(money(bits % 50000 + 500), bits % 5 + 1, city, country, order, order),
        )

    def _order_item(self, number: int, bits: int) -> tuple[str, str]:
        order, item = self._orders[number // 2], f"{number * 7919 % 100000:05d}"
        description, price = PRODUCTS[number % len(PRODUCTS)]
        amount = bits % 4 + 1
        key = f"ORDER#{order}#ITEM#{item}"
        return KEYS % (key, key), ORDER_ITEM % (
            *(order, item, description, money(price), amount, money(price * amount), order, item),
        )


class OrderBook(Shop):
    """Orders only, each with its items in a list inside it."""

    def __init__(self, items: int, seed: int) -> None:
        super().__init__(items * GROUP // ORDERS, seed)

    def item(self, number: int, version: int) -> tuple[str, str]:
        """As in Shop."""
        key, rest = self._order(number, version, self._bits(number, version))
        lines = ",".join(self._line(number * LINES + n, version) for n in range(LINES))
        return key, f'{rest},"Items":{{"L":[{lines}]}}'

    def _line(self, number: int, version: int) -> str:
        description, price = PRODUCTS[number % len(PRODUCTS)]
        amount = self._bits(number, version) % 4 + 1
        return LINE % (f"{number * 7919 % 100000:05d}", description, money(price), amount, money(price * amount))
