"""Every numbered equation of the paper, 1 to 47, is held by a test, or is a definition and says why."""

import ast

import pytest

from tests.book.sources import ROOT

TESTED = {
    1: "test_eq_1_and_2_maml_descends_the_loss_after_adaptation",
    2: "test_eq_1_and_2_maml_descends_the_loss_after_adaptation",
    3: "test_eq_3_maml_is_the_derivative_through_the_update",
    4: "test_eq_4_maml_is_the_jacobian_of_the_update_times_the_gradient_at_the_adapted_weights",
    5: "test_eq_5_batched_reptile_is_the_mean_of_serial_updates_on_the_same_tasks",
    6: "test_eq_6_and_7_one_step_reptile_is_the_gradient_of_the_loss",
    7: "test_for_k_of_2_or_more_reptile_is_no_longer_k_steps_on_the_expected_loss",
    8: "test_eq_8_the_mean_over_the_grid_is_the_integral_over_the_interval_divided_by_its_length",
    9: "test_eq_9_to_12_inner_loop_is_sgd_on_the_sequence_of_losses",
    10: "test_eq_9_to_12_inner_loop_is_sgd_on_the_sequence_of_losses",
    11: "test_eq_9_to_12_inner_loop_is_sgd_on_the_sequence_of_losses",
    12: "test_hessian_vector_products_match_the_dense_hessian_and_are_symmetric",
    13: "test_eq_13_to_16_every_inner_gradient",
    14: "test_eq_14_15_16_and_22_23_24_each_line_leaves_out_order_alpha_squared",
    15: "test_eq_15_displacement_is_minus_alpha_times_the_sum_of_gradients",
    16: "test_eq_13_to_16_every_inner_gradient",
    17: "test_eq_17_to_21_product_formula_equals_autograd_through_the_loop",
    18: "test_eq_17_to_21_product_formula_equals_autograd_through_the_loop",
    19: "test_eq_21_in_the_swapped_order_is_not_the_gradient",
    20: "test_eq_17_to_21_product_formula_equals_autograd_through_the_loop",
    21: "test_eq_17_to_21_product_formula_equals_autograd_through_the_loop",
    22: "test_eq_14_15_16_and_22_23_24_each_line_leaves_out_order_alpha_squared",
    23: "test_eq_14_15_16_and_22_23_24_each_line_leaves_out_order_alpha_squared",
    24: "test_eq_14_15_16_and_22_23_24_each_line_leaves_out_order_alpha_squared",
    25: "test_on_quadratics_two_step_expansions_are_exact",
    26: "test_on_quadratics_two_step_expansions_are_exact",
    27: "test_on_quadratics_two_step_expansions_are_exact",
    28: "test_eq_28_avg_grad_is_the_gradient_of_the_expected_loss",
    29: "test_eq_29_to_32_four_forms_agree",
    30: "test_eq_29_to_32_four_forms_agree",
    31: "test_eq_31_equals_32_for_every_single_pair_but_29_and_30_only_on_average",
    32: "test_gradient_of_the_inner_product_is_plus_two_avg_grad_inner",
    33: "test_eq_33_to_35_sine_network_with_two_steps",
    34: "test_eq_33_to_35_sine_network_with_two_steps",
    35: "test_eq_33_to_35_sine_network_with_two_steps",
    36: "test_slope_is_2_with_the_hessian_term_and_1_without",
    37: "test_eq_37_39_41_sine_network_at_every_k",
    38: "test_slope_is_2_with_the_hessian_term_and_1_without",
    39: "test_eq_37_39_41_sine_network_at_every_k",
    40: "test_slope_is_2_with_the_hessian_term_and_1_without",
    41: "test_eq_37_39_41_sine_network_at_every_k",
    42: "test_eq_42_objective_is_the_mean_over_tasks",
    43: "test_eq_43_gradient_of_the_mean_is_the_mean_of_the_gradients",
    44: "test_eq_43_44_gradient_of_half_squared_distance_is_phi_minus_projection",
    45: "test_eq_45_46_47_are_the_same_step",
    46: "test_eq_45_46_47_are_the_same_step",
    47: "test_eq_45_46_47_are_the_same_step",
}
"""The test that fails if the equation does not hold as the library computes it."""

DEFINITIONS: dict[int, str] = {}
"""Equations that no test holds, with the reason why nothing could contradict them.

None at present: Eqs. 8 to 12, 28, 29 and 42 define something, but the library may fail to compute it.
"""


@pytest.fixture(scope="module")
def tests_of_the_paper() -> set[str]:
    """Return the names of the tests in tests/paper that assert something."""
    found = set()
    for path in (ROOT / "tests" / "paper").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            asserts = any(
                isinstance(inner, ast.Assert)
                or (isinstance(inner, ast.Call) and "assert_close" in ast.unparse(inner.func))
                for inner in ast.walk(node)
            )
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and asserts:
                found.add(node.name)
    return found


def test_every_equation_is_tested_or_a_definition():
    assert set(TESTED) | set(DEFINITIONS) == set(range(1, 48))
    assert not set(TESTED) & set(DEFINITIONS)


def test_every_definition_says_why_it_needs_no_test():
    assert all(len(reason.split()) >= 5 for reason in DEFINITIONS.values())


@pytest.mark.parametrize("equation", sorted(TESTED))
def test_the_test_of_an_equation_exists(equation, tests_of_the_paper):
    assert TESTED[equation] in tests_of_the_paper
