"""libcurl with BoringSSL, on one connection: curl_cffi, which tests/e2e/http/downloads.py has fetched.

boring_client http1|http2    calls on standard input (calls.py), an account on standard output
"""

import json
import sys
from typing import Any

from curl_cffi import CurlHttpVersion, requests

VERSIONS = {"http1": (CurlHttpVersion.V1_1, 1), "http2": (CurlHttpVersion.V2TLS, 2)}


def main(given: dict[str, Any], kind: str) -> None:
    """All calls on one connection."""
    asked, version = VERSIONS[kind]
    with requests.Session(verify=given["ca"], http_version=asked) as session:
        for call in given["calls"]:
            body = b"y" * call["body_bytes"] or None
            response = session.request(call["method"], given["base"] + call["target"], data=body)
            said = {
                "method": call["method"],
                "path": call["target"],
                "status": response.status_code,
                "request_body_bytes": call["body_bytes"],
                "response_body_bytes": len(response.content),
                "version": version,
                "tls": True,
            }
            print(json.dumps(said))


if __name__ == "__main__":
    main(json.load(sys.stdin), sys.argv[1])
