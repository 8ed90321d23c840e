"""What the simulated shop sells, and to whom; the same in every run, so that a tutorial can name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Product:
    """Something that is sold. ``inventory_item_id``: how the shop's API calls its stock."""

    sku: str
    inventory_item_id: str
    title: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with an account in the shop."""

    id: int
    first_name: str
    last_name: str
    address1: str
    zip: str
    city: str
    country_code: str


PRODUCTS: Mapping[str, Product] = {
    product.sku: product
    for product in (
        Product("A-100", "45000000000100", "Coffee, 1 kg", Decimal("24.90")),
        Product("A-200", "45000000000200", "Mug", Decimal("14.90")),
        Product("A-300", "45000000000300", "Kettle", Decimal("89.00")),
        # The ERP does not know it: somebody in the shop was quicker than accounting.
        Product("A-900", "45000000000900", "Gift card", Decimal("25.00")),
    )
}
CUSTOMERS: Mapping[str, Customer] = {
    customer.first_name.lower(): customer
    for customer in (
        Customer(7_000_000_000_101, "Anna", "Berg", "Lindenstraße 5", "10969", "Berlin", "DE"),
        Customer(7_000_000_000_102, "Bo", "Lind", "Hamngatan 12", "111 47", "Stockholm", "SE"),
        Customer(7_000_000_000_103, "Cleo", "Marin", "Calle Mayor 8", "28013", "Madrid", "ES"),
        # Somebody new: nobody has entered her into the ERP yet.
        Customer(7_000_000_000_104, "Dina", "Noor", "Rue Haute 21", "1000", "Brussels", "BE"),
    )
}
