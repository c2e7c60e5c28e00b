"""What DPDispatcher's classes have and ours do not: each name with what to use in its place.

>>> lacking("Machine", "do_submit")
"Machine has no 'do_submit': a worker submits; use submission.submit(), or submission.run_submission()"

They are names of its 1.1.0. Whoever asks for one has an AttributeError with these words; `hasattr` is False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT: Final = (
    "a worker renders scripts; submission.run_submission(dry_run=True) shows them as they will be"
)
_SUBMIT: Final = "a worker submits; use submission.submit(), or submission.run_submission()"
_LOOK: Final = (
    "a worker asks the scheduler; use submission.update_submission_state(), then job.job_state"
)
_FAILED: Final = "use job.failure_reason, or submission.handle.result(checked=False).failures: with the end of stderr"
_KINDS: Final = (
    "batch types and contexts are text, machine.batch_type and machine.context_type; "
    "`jobferry schema machine` lists them"
)
_CONTEXT: Final = (
    "a worker carries files and runs commands; what a context is told stands in machine.context_type, "
    "local_root, remote_root and remote_profile"
)
_KWARGS: Final = (
    "use Resources.arginfo() to check input, `jobferry schema resources` to see all keys"
)
_RETRY: Final = "a worker tries again by itself, retry_count times; more is said by on_failure of the submission"
_FETCH: Final = "results come back by themselves; submission.handle.fetch() brings them once more"
_RATIO: Final = "a worker minds strategy.ratio_unfinished; submission.check_all_finished() tells whether enough is done"
_IDS: Final = "the ledger keeps what a job is known by; use job.job_id, or submission.handle.id"

#: class → name → what to use in its place
LACKING: Final[Mapping[str, Mapping[str, str]]] = {
    "Machine": {
        **dict.fromkeys(("alias", "options", "subclasses_dict"), _KINDS),
        **dict.fromkeys(("context", "bind_context"), _CONTEXT),
        **dict.fromkeys(("default_resources", "resources_arginfo", "resources_subfields"), _KWARGS),
        **dict.fromkeys(
            ("check_finish_tag", "check_if_recover", "check_status", "get_exit_code"), _LOOK
        ),
        "get_job_error": _FAILED,
        "do_submit": _SUBMIT,
        "kill": "a worker ends jobs; use submission.handle.cancel(), or `jobferry cancel`",
        **dict.fromkeys(
            (
                "gen_command_env_cuda_devices",
                "gen_local_script",
                "gen_script",
                "gen_script_command",
                "gen_script_custom_flags_lines",
                "gen_script_end",
                "gen_script_env",
                "gen_script_header",
                "gen_script_run_command",
                "gen_script_wait",
                "sub_script_cmd",
                "sub_script_head",
            ),
            _SCRIPT,
        ),
    },
    "Resources": dict.fromkeys(
        ("gpu_in_use", "task_in_para"),
        "it counted while a script was made; use para_deg and strategy.if_cuda_multi_devices",
    ),
    "Task": dict.fromkeys(
        ("get_task_state", "has_finished_tag"),
        "use submission.update_submission_state(), then task.task_state",
    ),
    "Job": {
        "get_job_state": _LOOK,
        "handle_unexpected_job_state": _RETRY,
        "submit_job": _SUBMIT,
        "get_last_error_message": _FAILED,
        **dict.fromkeys(("get_scheduler_name", "jgid", "job_uuid", "register_job_id"), _IDS),
        **dict.fromkeys(("script_file_name", "upload_path"), _SCRIPT),
        "job_to_json": "use job.serialize()",
    },
    "Submission": {
        **dict.fromkeys(("check_ratio_unfinished", "remove_unfinished_tasks"), _RATIO),
        **dict.fromkeys(("download_jobs", "try_download_result"), _FETCH),
        "try_download_error_info": "outlog and errlog of failed tasks come back by themselves",
        "handle_unexpected_submission_state": _RETRY,
        "try_recover_from_json": "submitting once more takes over what is finished, by itself",
        "upload_jobs": _SUBMIT,
    },
}


def lacking(owner: str, name: str) -> str:
    """Return what an AttributeError says."""
    words = LACKING.get(owner, {}).get(name)
    if words is None:
        return f"{owner!r} object has no attribute {name!r}"
    return f"{owner} has no {name!r}: {words}"
