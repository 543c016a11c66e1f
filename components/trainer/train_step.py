"""One gradient step, compiled once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer.input.batch_parts import part_of_batch
from components.trainer.replicas import ONE_DEVICE, Replicas


class TrainStep:
    """Forward, losses, backward and one update; sums up losses on the device.

    The sums are only fetched when somebody looks (``mean_losses``), so a step does not wait for its own result.

    With several replicas or parts, each computes its piece of the batch from the same weights; the update is made once,
    from the mean of their gradients. Other variables that a piece changes (the moving statistics of batch
    normalisation, a teacher) become, after a part, what the part made of them, and, over replicas, the mean.

    Args:
      losses: of one batch, scalar float32 [] by name, as graph ops; their sum is minimised.
      variables: what learns.
      optimizer: built for them.
      element_spec: of the dataset of batches.
      measures: names among the losses that are not minimised.
      state: every further variable that ``losses`` reads or changes.
      replicas: the devices that share a batch.
      parts: pieces that each of them computes one after the other, in the memory of one.
    """

    def __init__(
        self,
        losses: Callable[[Any], dict[str, tf.Tensor]],
        variables: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        element_spec: Any,
        measures: Sequence[str] = (),
        *,
        state: Sequence[keras.Variable] = (),
        replicas: Replicas = ONE_DEVICE,
        parts: int = 1,
    ) -> None:
        self._losses = losses
        self._variables = tuple(variables)
        self._optimizer = optimizer
        self._measures = frozenset(measures)
        learning = {id(variable) for variable in variables}
        self._state = tuple({id(variable): variable for variable in state if id(variable) not in learning}.values())
        self._replicas = replicas
        self._parts = parts
        self._names: tuple[str, ...] = ()
        self._sums: tf.Tensor | None = None
        self._steps = 0
        # What tracing tells, beside the names: gradients that are none, and positions of the state that change.
        self._without_gradient: set[int] = set()
        self._changing: list[int] = []
        # Nothing here is Python control flow over tensors: AutoGraph would only cost seconds.
        self._run = tf.function(self._step, input_signature=[element_spec], autograph=False, jit_compile=False)

    def __call__(self, batch: Any) -> None:
        """Takes one step."""
        losses = self._run(batch)  # [parts + 1]
        self._sums = losses if self._sums is None else self._sums + losses
        self._steps += 1

    def non_finite(self) -> str | None:
        """What was infinite or not a number in a step since the last ``mean_losses``: the loss, or its gradient."""
        if self._sums is None:
            return None
        *losses, gradient = np.isfinite(self._sums.numpy()).tolist()
        return "loss" if not all(losses) else None if gradient else "gradient of the loss"

    def mean_losses(self) -> dict[str, float]:
        """Means since the last call: loss parts, measures, and the ``total`` of the losses. Empty without a step."""
        if self._sums is None:
            return {}
        means = (self._sums.numpy()[:-1] / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._names, means, strict=True))

    def _step(self, batch: Any) -> tf.Tensor:
        """One update; float32 [parts + 1], the losses in the order of ``_names`` and what ``_alarm`` says."""
        alone = self._replicas.count == 1 and self._parts == 1
        gradients, losses = self._gradients(batch) if alone else self._mean_gradients(batch)
        alarm = self._alarm(gradients)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return tf.concat([losses, alarm[tf.newaxis]], axis=0)

    def _gradients(
        self, batch: Any, scope: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    ) -> tuple[list[tf.Tensor | None], tf.Tensor]:
        """One gradient for each variable, and the losses, float32 [parts]; ``scope`` is around what computes them."""
        with tf.GradientTape() as tape, scope():
            losses = dict(self._losses(batch))
            total = tf.add_n([part for name, part in losses.items() if name not in self._measures])
            scaled = self._optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self._variables)
        losses["total"] = total
        # Tracing tells the names. A variable to sum up in, made here, would have everything traced a second time.
        self._names = tuple(losses)
        return gradients, tf.stack([tf.cast(part, tf.float32) for part in losses.values()])

    def _mean_gradients(self, batch: Any) -> tuple[list[tf.Tensor | None], tf.Tensor]:
        """The same as means over all pieces of the batch; changes the state."""
        pieces = self._replicas.devices * self._parts

        def of_device(number: int | tf.Tensor) -> list[tf.Tensor]:
            first = number * self._parts
            state = [tf.convert_to_tensor(variable.value) for variable in self._state]
            if self._parts == 1:
                gradients, losses, state = self._gradients_apart(part_of_batch(batch, first, pieces), state)
            else:
                gradients, losses, state = self._mean_over_parts(
                    lambda part: part_of_batch(batch, first + part, pieces), state
                )
            return [*gradients, losses, *(state[index] for index in self._changing)]

        means = self._replicas.mean(of_device)
        count = len(self._variables)
        for index, value in zip(self._changing, means[count + 1 :], strict=True):
            self._state[index].assign(value)
        gradients = [None if index in self._without_gradient else means[index] for index in range(count)]
        return gradients, means[count]

    def _mean_over_parts(
        self, part_of: Callable[[tf.Tensor], Any], state: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
        """Means of gradients and losses over the parts, one after the other; the state after the last."""

        def add_part(
            part: tf.Tensor, gradients: list[tf.Tensor], losses: tf.Tensor, state: list[tf.Tensor]
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
            of_part, losses_of_part, state = self._gradients_apart(part_of(part), state)
            sums = [gradient + more for gradient, more in zip(gradients, of_part, strict=True)]
            return part + 1, sums, losses + losses_of_part, state

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self._variables]
        # How many losses there are is only known inside: one 0 is added to them all.
        before = (tf.constant(0), zeros, tf.zeros([1]), state)
        shapes = tf.nest.map_structure(lambda tensor: tensor.shape, before)
        _, gradients, losses, state = tf.while_loop(
            lambda part, *_: part < self._parts,
            add_part,
            before,
            shape_invariants=(shapes[0], shapes[1], tf.TensorShape([None]), shapes[3]),
            # More at a time would need the memory of more.
            parallel_iterations=1,
        )
        losses = tf.ensure_shape(losses, [len(self._names)])
        return [gradient / self._parts for gradient in gradients], losses / self._parts, state

    def _gradients_apart(
        self, batch: Any, state: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
        """Gradients (0 where there are none) and losses of a piece with these values of the state; its new values.

        No variable changes, so that pieces do not see what others do.
        """
        scopes = []

        def scope() -> keras.StatelessScope:
            # Made on the tape: it reads the variables.
            values = [*zip(self._state, state, strict=True), *((variable, variable) for variable in self._variables)]
            scopes.append(keras.StatelessScope(state_mapping=values))
            before.update(scopes[0].state_mapping)
            return scopes[0]

        before: dict[int, tf.Tensor] = {}
        gradients, losses = self._gradients(batch, scope)
        after = scopes[0].state_mapping
        known = {id(variable) for variable in self._state}
        if any(value is not before.get(key) for key, value in after.items() if key not in known):
            raise ValueError(
                "the losses of a phase change a variable that learns, or one that is neither the detector's nor among "
                "the phase's helpers; with several devices or parts of a batch it would not be kept"
            )
        self._changing = [
            index for index, variable in enumerate(self._state) if after[id(variable)] is not before[id(variable)]
        ]
        self._without_gradient = {index for index, gradient in enumerate(gradients) if gradient is None}
        filled = [
            tf.zeros(variable.shape, variable.dtype) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, self._variables, strict=True)
        ]
        return filled, losses, [after[id(variable)] for variable in self._state]

    def _alarm(self, gradients: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """float32 [], infinite or not a number when the gradients of an update are; one of them spoils every weight.

        A finite loss says nothing of them: a kernel's backward pass may fail where its forward pass does not.
        """
        norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32)
        if isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer):
            # It leaves such an update out and halves its scale, as it should until the scale fits. None ever does when
            # the scale is gone.
            return tf.where(self._optimizer.dynamic_scale >= 1.0, 0.0, norm)
        return norm
