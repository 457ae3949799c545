"""Is MAML's trouble at many inner steps cost, memory or variance? What was predicted, and what came of it.

The predictions below were written down before `benchmarks/costs.py` and the experiment `sine-costs` were run.
What was known then: the earlier table `benchmarks/inner_steps.csv` (time and memory up to k = 20 and 50), the
noise at random weights on the page of questions, and a pilot of 1,000 iterations at k = 5 per method, which
told how long they take.

    time       From k = 4 to 64, processor time per step of every method but implicit MAML grows with an
               exponent in k within EXPONENT of 1; MAML's time over Reptile's stays the same within a factor
               FACTOR.
    memory     The peak of MAML unrolled grows with every step; by products it grows by the weights of a step,
               within WEIGHTS; those of FOMAML, Reptile and implicit MAML do not grow (less than a tenth of
               the weights per step).
    variance   With fresh minibatches the number of tasks over which MAML's meta-gradient must be averaged is
               no larger at k = 64 than at k = 4, at random weights and after 300 outer steps of Reptile.
    accuracy   With fresh minibatches MAML at k = 20 ends less than MARGIN above its error at k = 5, after as
               many outer steps. With minibatches that return, MAML at k = 20 ends higher than with fresh
               ones.
"""

from __future__ import annotations

EXPONENT = 0.1
"""How far an exponent may lie from 1 and still be called proportional; chosen before the measurements."""
FACTOR = 1.25
"""Up to which factor two ratios of times count as the same; chosen before the measurements."""
WEIGHTS = 0.2
"""By which share the growth per step may differ from the size of the weights; chosen before."""
MARGIN = 0.1
"""Mean squared error that counts as no worse; the zero function has 4.25. Chosen before the runs."""
