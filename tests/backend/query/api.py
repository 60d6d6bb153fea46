"""Asking the JSON API, and what every answer of it has."""

from typing import Any

import httpx

OBSERVED = 9.5  # nine whole minutes and a half


async def get(api: httpx.AsyncClient, path: str, **parameters: str | list[str]) -> dict[str, Any]:
    response = await api.get(path, params=parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = response.json()
    return answer


async def refused(api: httpx.AsyncClient, path: str, status: int, **parameters: str | list[str]) -> dict[str, str]:
    response = await api.get(path, params=parameters)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    failure: dict[str, str] = response.json()
    assert failure.keys() == {"error", "hint"}
    assert all(failure.values())
    return failure
