"""TensorFlow, imported when something of it is first used: recipes are read, and their models built, without it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf
else:

    class _TensorFlow:
        """The module, in effect. Raises UserError where Keras computes with something else."""

        def __getattr__(self, name: str) -> Any:
            from keraskit import start

            start.start_tensorflow()
            import tensorflow

            value = getattr(tensorflow, name)
            setattr(self, name, value)
            return value

    tf = _TensorFlow()
