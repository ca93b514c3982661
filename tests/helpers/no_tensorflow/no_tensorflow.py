"""A pytest plugin (``-p no_tensorflow``): nothing may import TensorFlow, as if it were not installed."""

import sys


class _Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf_keras", "tensorflowjs"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, _Refuse())
