"""Strain test: waves of several lengths, an FFT in the loss, answers as sound files."""

from rk import hookimpl


@hookimpl
def rk_data():
    return {"tones": "rk_strain_waves.data:Tones"}


@hookimpl
def rk_models():
    return {"filter": "rk_strain_waves.model:Filter"}


@hookimpl
def rk_losses():
    return {"wave-and-spectrum": "rk_strain_waves.model:WaveAndSpectrum"}
