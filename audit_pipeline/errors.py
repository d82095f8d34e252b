"""The family of errors: every failure a user can meet has a type, a sentence and a remedy.

Messages say what was expected, what was found and what to do. They never name a patient and never contain a path,
because file names often carry identity; paths travel separately in ``LoadError.files``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class AuditError(Exception):
    """Base of all errors this package raises on purpose."""

    @property
    def code(self) -> str:
        """The stable name written to records, for example ``MissingSlicesError``."""
        return type(self).__name__


class ConfigError(AuditError):
    """The configuration, the model card or the command line asks for something impossible."""


class StoreError(AuditError):
    """The run folder cannot be used as asked."""


class ModelError(AuditError):
    """The model cannot be built, or does not fit the image or its card."""


class WeightsError(ModelError):
    """The weights are missing, differ from the pinned digest, or do not fit the network."""


class UnsafeWeightsError(WeightsError):
    """The weights file would execute code when loaded; it was refused before it could."""


class ExplainError(AuditError):
    """The explanation cannot be computed truthfully."""


class LayerError(ExplainError):
    """The target layer does not exist or has no usable spatial output."""


class MaskError(ExplainError):
    """A reference mask cannot be read, or does not belong to the image."""


class ReportError(AuditError):
    """The report cannot be rendered truthfully."""


class LoadError(AuditError):
    """A study, series or file cannot be delivered as an image.

    Parameters
    ----------
    message : str
        One or two sentences without paths or patient data: expected, found, what to do.
    files : sequence of Path
        The files concerned, for the person at the keyboard; never written to a report.
    """

    def __init__(self, message: str, files: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


class NotAStudyError(LoadError):
    """No file under the path is a readable image."""


class SeveralStudiesError(LoadError):
    """The path holds several studies where one was expected."""


class SeriesChoiceError(LoadError):
    """The selection rules do not pick exactly one image of the study."""


class HeaderError(LoadError):
    """A DICOM header cannot be parsed."""


class IncompleteSeriesError(LoadError):
    """A file of the series is damaged; the volume would have a hole."""


class MissingSlicesError(LoadError):
    """Slice positions leave gaps that are whole multiples of the slice step."""


class VariableSpacingError(LoadError):
    """Slice positions do not lie on an even grid."""


class AmbiguousStackError(LoadError):
    """Several slices share a position and no header attribute tells them apart."""


class SopConflictError(LoadError):
    """Two different files carry the same SOP Instance UID."""


class PatientMixError(LoadError):
    """One series mixes patients or studies."""


class OrientationError(LoadError):
    """The image orientation is missing, not a rotation, or not the same in every slice."""


class NoGeometryError(LoadError):
    """The position of at least one slice is unknown."""


class PixelDataError(LoadError):
    """Pixel data is missing, truncated or contradicts the header."""


class CodecError(PixelDataError):
    """The compressed pixel data cannot be decoded with the installed codecs."""


class RescaleError(LoadError):
    """The mapping from stored values to real units is missing a valid slope or intercept."""


class ColourError(LoadError):
    """A colour image was offered where a grey one is needed, or the reverse."""


class LimitError(LoadError):
    """The file asks for more memory, elements or depth than the limits allow."""


class MultiFrameError(LoadError):
    """A multi-frame object of a kind that is not delivered as a volume."""


class MosaicError(LoadError):
    """A mosaic holds many slices in one frame and is not delivered as one slice."""


class NiftiHeaderError(LoadError):
    """The NIfTI header is damaged or contradicts the file."""


class AffineConflictError(LoadError):
    """The two NIfTI transforms (qform, sform) place the image differently."""


class CorruptFileError(LoadError):
    """The file is truncated or fails its checksum."""


class ArchiveError(LoadError):
    """The archive is damaged, encrypted, or holds names that lead outside of it."""


class SuvError(LoadError):
    """The standardised uptake value was asked for and cannot be computed from the header."""
