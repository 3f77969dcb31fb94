"""The countries of the world and their subdivisions (ISO 3166), as pycountry ships them."""

from collections.abc import Iterable
from typing import Optional

import pycountry
from constelite.models import Association, Composition, Ref, StateModel, backref

from filestore import FileStore


class Country(StateModel):
    """A country; its uid is its two-letter code."""

    name: Optional[str]
    official_name: Optional[str]
    flag: Optional[str]
    motto: Optional[str]
    capital: Optional[Association["Subdivision"]]
    subdivisions: Optional[Composition["Subdivision"]]


class Subdivision(StateModel):
    """A region, a department, a city …; its uid is its ISO code."""

    name: Optional[str]
    type: Optional[str]
    parent: Optional[Association["Subdivision"]]
    parts: backref(model="Subdivision", from_field="parent")
    country: backref(model="Country", from_field="subdivisions")


for _model in (Country, Subdivision):
    _model.update_forward_refs(Subdivision=Subdivision)


async def load(store: FileStore, codes: Iterable[str] = ()) -> int:
    """Write countries with their subdivisions, in one transaction.

    Args:
        store: Where to.
        codes: The two-letter codes of the countries; none means all of the world.

    Returns:
        How many records were written.
    """
    async with store.transaction():
        written: dict[str, Ref] = {}
        for code in codes or sorted(country.alpha_2 for country in pycountry.countries):
            country = pycountry.countries.get(alpha_2=code)
            found = pycountry.subdivisions.get(country_code=code) or ()
            parts = sorted(item.code for item in found)
            state = Country(
                name=country.name,
                official_name=getattr(country, "official_name", None),
                flag=country.flag,
                subdivisions=[await _subdivision(store, part, written) for part in parts],
            )
            written[code] = await store.create(state, uid=code)
    return len(written)


async def _subdivision(store: FileStore, code: str, written: dict[str, Ref]) -> Ref:
    """The ref to a subdivision; writes it first, its parent before it, unless that was done."""
    if code not in written:
        item = pycountry.subdivisions.get(code=code)
        above = [item.parent_code] if item.parent_code else []
        state = Subdivision(
            name=item.name,
            type=item.type,
            parent=[await _subdivision(store, parent, written) for parent in above] or None,
        )
        written[code] = await store.create(state, uid=code)
    return written[code]
