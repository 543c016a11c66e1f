"""Who comes in with a token, and who without."""

from __future__ import annotations

import pathlib

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from serving.wire.token import TokenFileError, Tokens
from tests.serving.wire.door import http, open_door

_OLD, _NEW = "an-old-token-of-ours", "a-new-token-of-ours!"


def _write(path: pathlib.Path, text: str) -> None:
    """Replaces a file as a Secret's is: by another one of the name."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def test_tokens_rotate_without_a_restart(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens"
    _write(path, f"# of the cameras\n{_OLD}\n")
    tokens = Tokens(path)
    assert tokens.allows(f"Bearer {_OLD}") and tokens.allows(f"bearer {_OLD}")
    for given in (None, "", _OLD, f"Basic {_OLD}", "Bearer ", f"Bearer {_OLD[:-1]}", f"Bearer {_NEW}", "Bearer \xe9"):
        assert not tokens.allows(given)
    _write(path, f"{_OLD}\n{_NEW}\n")
    assert tokens.allows(f"Bearer {_OLD}") and tokens.allows(f"Bearer {_NEW}")
    _write(path, _NEW)
    assert not tokens.allows(f"Bearer {_OLD}")
    # A file that is broken for a moment locks nobody out.
    _write(path, "")
    assert tokens.allows(f"Bearer {_NEW}")
    assert "holds no token" in caplog.text and _NEW not in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"), [("# none\n", "holds no token"), ("short", ":1: a token is at least 16")]
)
def test_a_wrong_file_is_refused(tmp_path: pathlib.Path, text: str, expected: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(TokenFileError, match=expected):
        Tokens(path)
    with pytest.raises(TokenFileError, match="cannot be read"):
        Tokens(tmp_path / "absent")


def test_both_doors_ask_for_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(_OLD)
    headers = {"authorization": f"Bearer {_OLD}"}
    with open_door(tmp_path, tokens=Tokens(path)) as running:
        assert http(running, "/metrics")[0] == 401
        assert http(running, "/metrics", headers=headers)[0] == 200
        with grpc.insecure_channel(f"localhost:{running.port}") as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            request = get_model_status_pb2.GetModelStatusRequest()
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModelStatus(request)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModelStatus(request, metadata=[*headers.items()])
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            listing = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.RpcError) as caught:
                next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([listing])))
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            # A cluster's probe can send none.
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
