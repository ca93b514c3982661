"""Refuse a Python that cannot work by its name, where the pip that comes with it would name a library."""

import platform
import sys

from setuptools import setup

if not (3, 10) <= sys.version_info[:2] <= (3, 14):
    sys.exit(f"span-keras needs Python 3.10 to 3.14, found {platform.python_version()}")
setup()
