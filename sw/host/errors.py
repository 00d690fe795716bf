"""Errors of talking to a device."""

from tickgate.sw.spec.errors import UserError


class DeviceError(UserError):
    """A device that does not answer, refuses a request, or is not the one that was meant."""


class WrongDeviceError(DeviceError):
    """The device has another register map or build; the message says which side is older."""
