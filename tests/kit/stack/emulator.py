"""MiniStack, with four things put right: a version is written once, a label is on one version, what Lambda tells a
function about a request to its URL, and that a function's environment outlives an exception of its handler.

Runs in MiniStack's environment in place of `python -m ministack`. Of a request to a URL the emulator tells the function
the ARN of the version (a direct invocation has the alias, as on AWS) and no identity. On AWS:
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from typing import Any

# It is installed in an environment of its own.
from ministack.app import main  # type: ignore[import-not-found]
from ministack.core import lambda_runtime  # type: ignore[import-not-found]
from ministack.core.responses import error_response_json, json_response  # type: ignore[import-not-found]
from ministack.core.router import extract_access_key_id  # type: ignore[import-not-found]
from ministack.services import iam, lambda_svc, secretsmanager  # type: ignore[import-not-found]

find_function = lambda_svc._get_func_record_for_ref_in_scope
build_event = lambda_svc._build_function_url_event
put_secret_value = secretsmanager._put_secret_value
invoke = lambda_runtime.Worker.invoke
RAISED = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
KEPT = '{"status": "ok", "raised": str(e), "trace": traceback.format_exc()}'


def find_by_the_named_alias(reference: str, **scope: Any) -> Any:
    """What was found, with the ARN that was named."""
    function, config, name = find_function(reference, **scope)
    qualifier = reference.partition(":")[2]
    if config is not None and qualifier:
        unqualified = ":".join(config["FunctionArn"].split(":")[:7])
        config = {**config, "FunctionArn": f"{unqualified}:{qualifier}"}
    return function, config, name


def build_event_with_identity(*given: Any, **more: Any) -> Any:
    """The event, with the user who has signed; the emulator has verified the signature by then."""
    _, account, _, _, _, headers, *_ = given
    event = build_event(*given, **more)
    key = iam._access_keys.get(extract_access_key_id(headers))
    if key is not None:
        arn = f"arn:aws:iam::{account}:user/{key['UserName']}"
        event["requestContext"]["authorizer"] = {"iam": {"userArn": arn}}
    return event


def put_once_and_move_labels(data: dict[str, Any]) -> Any:
    """A version is written once, by whichever text comes first; a label that is put with it leaves the version that
    had it. https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    """
    _, secret = secretsmanager._resolve(data.get("SecretId"))
    written = secret["Versions"].get(data.get("ClientRequestToken")) if secret else None
    if written is not None:
        if written["SecretString"] != data.get("SecretString"):
            return error_response_json(
                "ResourceExistsException", "The version exists with another value.", 400
            )
        answer = {"VersionId": data["ClientRequestToken"], "VersionStages": list(written["Stages"])}
        return json_response({"ARN": secret["ARN"], "Name": secret["Name"], **answer})
    for version in secret["Versions"].values() if secret else ():
        moved = set(data.get("VersionStages", ())) - {"AWSCURRENT"}
        version["Stages"] = [label for label in version["Stages"] if label not in moved]
    return put_secret_value(data)


def invoke_and_keep_the_process(worker: Any, *given: Any, **more: Any) -> Any:
    """MiniStack ends a process whose handler has raised, and the next request waits for a new one to start: seconds
    on a busy machine, several times over while callers ask again for a token that is not there yet.
    """
    answer = invoke(worker, *given, **more)
    return answer | {"status": "error", "error": answer["raised"]} if "raised" in answer else answer


if RAISED not in lambda_runtime._PYTHON_WORKER_SCRIPT:
    raise RuntimeError("MiniStack reports an exception of a handler in another way than this module expects")
lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(RAISED, KEPT)
lambda_runtime.Worker.invoke = invoke_and_keep_the_process
secretsmanager._put_secret_value = put_once_and_move_labels
lambda_svc._get_func_record_for_ref_in_scope = find_by_the_named_alias
lambda_svc._build_function_url_event = build_event_with_identity
main()
