"""How time series become the points of a file, and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constelite.models import Dynamic

from filestore.errors import UnsupportedValueError
from filestore.forms import builtin, write
from filestore.values import ValueCodec, construct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constelite.models import StateModel
    from pydantic.v1.fields import ModelField

    from filestore.disk.documents import Point


class SeriesCodec:
    """How one time series becomes the points of a file, and comes back.

    Args:
        model: The class that declares it.
        field: Its field, of a type ``Dynamic[…]``.
    """

    def __init__(self, model: type[StateModel], field: ModelField) -> None:
        self.field = field
        self._model = model.__name__
        self._type = field.type_
        self._point = self._type.__fields__["points"].type_
        self._value = ValueCodec(self._point, self._point.__fields__["value"])

    def encode(self, series: Any) -> list[Point]:
        """The points of a ``Dynamic``, in its order, as JSON; timestamps in seconds.

        Raises:
            UnsupportedValueError: A point could not be read back, or this is no series.
        """
        if not isinstance(series, Dynamic):
            try:
                series = self.validate(series)
            except ValueError as error:
                raise self._unsupported(f"is no time series: {error}") from error
        return [self._encode_point(point) for point in series.points]

    def decode(self, points: Iterable[Point]) -> Any:
        """The ``Dynamic`` that a file's points stand for.

        Raises:
            ValueError: The point type cannot take one of them; the text says why.
        """
        built = [self._decode_point(number, point) for number, point in enumerate(points, 1)]
        return construct(self._type, {"points": built}, {"points"})

    def validate(self, series: Any) -> Any:
        """What pydantic makes of a series given as a ``Dynamic`` or as a dict of points.

        Raises:
            ValueError: It is no such series; the text says why.
        """
        return ValueCodec(self._type, self.field).validate(series, {})

    def says(self, stored: list[Point] | None, points: list[Point]) -> bool:
        """Tell whether a file says these points already, in other words perhaps."""
        if stored is None or len(stored) != len(points):
            return False
        try:
            return self.encode(self.decode(stored)) == points
        except (ValueError, UnsupportedValueError):
            return False

    def check_optional(self) -> None:
        """Make sure that a new record may do without this series.

        Raises:
            UnsupportedValueError: It may not: the record could not be read back.
        """
        if self.field.required and not self.field.allow_none:
            raise self._unsupported("is missing, and the class requires it")

    def _encode_point(self, point: Any) -> Point:
        try:
            timestamp = write(float(builtin(point.timestamp)), None)
            value = self._value.encode(point.value, {})
        except (UnsupportedValueError, ValueError, TypeError) as error:
            raise self._unsupported(f"the point at {point.timestamp}: {error}") from error
        return {"timestamp": timestamp, "value": value}

    def _decode_point(self, number: int, point: Point) -> Any:
        try:
            timestamp = float(point["timestamp"])
            value = self._value.decode(point["value"], {})
        except (ValueError, TypeError) as error:
            raise ValueError(f"point {number}: {error}") from error
        return construct(
            self._point, {"timestamp": timestamp, "value": value}, {"timestamp", "value"}
        )

    def _unsupported(self, text: str) -> UnsupportedValueError:
        return UnsupportedValueError(
            f"{self._model}.{self.field.name}: {text}", model=self._model, field=self.field.name
        )
