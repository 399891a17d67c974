"""Why a connection failed, in words."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_OF_TIME = (9, 10)


def why(error: Exception) -> str:
    """The reason in what urllib, http or a socket raised.

    A small device without a battery for its clock wakes up years ago, and then takes every
    certificate for one of the future: that is said, as the server is not to blame.
    """
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        text = f"certificate verify failed: {reason.verify_message}"
        if reason.verify_code in _OF_TIME:
            today = datetime.now(timezone.utc).date().isoformat()
            text += f"; the clock of this device says {today}, is it right?"
        return text
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__
