"""What a camera sees, as a FastAPI service. Needs: pip install fastapi uvicorn

SOURCE=0 MODEL=person uvicorn service:app
curl http://127.0.0.1:8000/now
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

import edgenn
from edgenn.runtime.sinks.jsonl import to_dict

newest: dict[str, Any] = {}


@asynccontextmanager
async def run(_: FastAPI) -> AsyncIterator[None]:
    source, model = os.environ.get("SOURCE", "0"), os.environ.get("MODEL", "person")
    with edgenn.Pipeline(source, model) as pipeline:
        pipeline.start(lambda result: newest.update(to_dict(result)))
        yield


app = FastAPI(lifespan=run)


@app.get("/now")
def now() -> dict[str, Any]:
    """The newest result, in the form of ``edgenn run --out``."""
    return newest
