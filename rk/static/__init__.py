"""Reads signatures from source, so that help, list, show, validate and schema never import a component."""

from rk.static.classes import ClassInfo, StaticError, class_of, load_class
from rk.static.signature import Param, Signature, constructor, method, read_function

__all__ = [
    "ClassInfo",
    "Param",
    "Signature",
    "StaticError",
    "class_of",
    "constructor",
    "load_class",
    "method",
    "read_function",
]
