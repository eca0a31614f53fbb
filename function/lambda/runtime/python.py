"""The runtime of Python functions: it loads the handler and speaks the Runtime API. It needs no packages and runs from Python 3.8 on."""
import http.client
import importlib
import json
import os
import sys
import time
import traceback

env = os.environ
api = "/2018-06-01/runtime/"
connection = http.client.HTTPConnection(env["AWS_LAMBDA_RUNTIME_API"], timeout=None)


def request(method, route, body=None):
    """Makes a request over the one connection and returns the headers and the body of the answer."""
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, api + route, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def report(error, kind=None):
    """Returns what the Runtime API is told about an error."""
    frames = traceback.extract_tb(error.__traceback__)
    frames = [f for f in frames if f.filename != "<string>"]
    return json.dumps({
        "errorMessage": str(error),
        "errorType": kind or type(error).__name__,
        "stackTrace": [line for line in traceback.format_list(frames)],
    }).encode()


class Context:
    """What a handler is told about its call."""

    def __init__(self, headers):
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = env["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = env["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = env["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = env["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))


class InitError(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def load():
    """Returns the handler that _HANDLER names: a function behind the last dot, in a module before it."""
    name = env["_HANDLER"]
    module, dot, function = name.rpartition(".")
    if not dot:
        raise InitError("Runtime.MalformedHandlerName", "Bad handler '%s'" % name)
    sys.path.insert(0, env["LAMBDA_TASK_ROOT"])
    module = module.replace("/", ".")
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise InitError("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module, error)) from error
    except SyntaxError as error:
        raise InitError("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module, error)) from error
    handler = getattr(loaded, function, None)
    if not callable(handler):
        raise InitError("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function, module))
    return handler


def once(handler):
    status, headers, body = request("GET", "invocation/next")
    if status != 200:
        raise ConnectionError("next: status %d" % status)
    call = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    env["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
    try:
        answer = handler(json.loads(body), Context(headers))
        try:
            answer = json.dumps(answer, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InitError("Runtime.MarshalError", "Unable to marshal response: %s" % error) from error
    except Exception as error:  # what is more than an Exception ends the process
        traceback.print_exc()
        flush()
        request("POST", call + "/error", report(error, getattr(error, "kind", None) if isinstance(error, InitError) else None))
        return
    flush()
    request("POST", call + "/response", answer)


def flush():
    sys.stdout.flush()
    sys.stderr.flush()


def main():
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = sys.argv[:1]
    try:
        handler = load()
    except Exception as error:
        traceback.print_exc()
        flush()
        request("POST", "init/error", report(error, getattr(error, "kind", None)))
        sys.exit(1)
    try:
        while True:
            once(handler)
    except (ConnectionError, http.client.HTTPException):  # the Runtime API is gone, and with it the reason to live
        sys.exit(1)


main()
