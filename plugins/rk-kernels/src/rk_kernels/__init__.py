"""Kernels of infinitely wide networks (NNGP and NTK), and learning with them in closed form.

Lee et al. 2018, "Deep Neural Networks as Gaussian Processes", arXiv:1711.00165; Jacot, Gabriel and Hongler 2018,
"Neural Tangent Kernel", arXiv:1806.07572. A library for other plugins (`rk_kernels.layers`, `rk_kernels.linalg`, ...)
and the components that need only it.
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "mlp-kernel": "rk_kernels.mlp_kernel:MLPKernel",
        "conv-kernel": "rk_kernels.conv_kernel:ConvKernel",
        "hierarchical-kernel": "rk_kernels.hierarchical_kernel:HierarchicalKernel",
        "rbf-kernel": "rk_kernels.rbf_kernel:RBFKernel",
        "fixed-scale": "rk_kernels.scale:FixedScale",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "gaussian-process": "rk_kernels.process:GaussianProcess",
        "context-process": "rk_kernels.process:ContextProcess",
        "ensemble": "rk_kernels.ensemble:Ensemble",
        "ntk-mlp": "rk_kernels.ntk_mlp:NTKMLP",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {
        "per-member": "rk_kernels.per_member:PerMember",
        "squared-error": "rk_kernels.squared_error:SquaredErrorLoss",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {
        "marginal-likelihood": "rk_kernels.evidence:MarginalLikelihood",
        "kernel-regression": "rk_kernels.classifier:KernelRegression",
        "kernel-ridge": "rk_kernels.classifier:KernelRidge",
        "as-is": "rk_kernels.as_is:AsIs",
        "feature-regression": "rk_kernels.feature_regression:FeatureRegression",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "uci": "rk_kernels.uci:UCI",
        "tabular": "rk_kernels.tabular:Tabular",
        "diabetes": "rk_kernels.tabular:Diabetes",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "calibration": "rk_kernels.calibration:Calibration",
        "kernel-curves": "rk_kernels.kernel_curves:KernelCurves",
        "learning-curve": "rk_kernels.learning_curve:LearningCurve",
    }


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"kernel-curve": "rk_kernels.kernel_curve:KernelCurve"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "predictive-nll": "rk_kernels.metrics:NegativeLogLikelihood",
        "rmse": "rk_kernels.metrics:RootMeanSquaredError",
        "squared-error": "rk_kernels.metrics:SquaredError",
        "calibration-error": "rk_kernels.metrics:CalibrationError",
        "per-member": "rk_kernels.per_member:PerMemberMetric",
    }
