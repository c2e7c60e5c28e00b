"""The public names of DPDispatcher 1.1.0: attributes, properties and methods of what its users hold in their hands.

`python -m tests.seeds.others.names` compares them with those of an installed one.
"""

from __future__ import annotations

from typing import Final

PUBLIC: Final[dict[str, str]] = {
    "Machine": """
        alias arginfo bind_context check_finish_tag check_if_recover check_status context default_resources
        deserialize do_submit gen_command_env_cuda_devices gen_local_script gen_script gen_script_command
        gen_script_custom_flags_lines gen_script_end gen_script_env gen_script_header gen_script_run_command
        gen_script_wait get_exit_code get_job_error kill load_from_dict load_from_json load_from_yaml options
        resources_arginfo resources_subfields retry_count serialize sub_script_cmd sub_script_head
        subclasses_dict""",
    "Resources": """
        append_script arginfo cpu_per_node custom_flags deserialize envs gpu_in_use gpu_per_node group_size
        kwargs load_from_dict load_from_json load_from_yaml module_list module_purge module_unload_list
        number_node para_deg prepend_script queue_name serialize source_list strategy task_in_para
        wait_time""",
    "Task": """
        arginfo backward_files command deserialize errlog forward_files get_hash get_task_state
        has_finished_tag load_from_dict load_from_json load_from_yaml outlog serialize task_hash task_name
        task_state task_work_path""",
    "Job": """
        deserialize fail_count failure_reason get_hash get_job_state get_last_error_message
        get_scheduler_name handle_unexpected_job_state jgid job_hash job_id job_state job_task_list
        job_to_json job_uuid machine register_job_id resources script_file_name serialize submit_job
        upload_path""",
    "Submission": """
        async_run_submission backward_common_files belonging_jobs belonging_tasks bind_machine
        check_all_finished check_ratio_unfinished clean_jobs continue_on_failure deserialize download_jobs
        failed_jobs forward_common_files generate_jobs get_hash handle_unexpected_submission_state
        local_root machine previous_submission_hash raise_for_failed_jobs register_task register_task_list
        remove_unfinished_tasks resources run_submission serialize submission_from_json submission_hash
        submission_to_json try_download_error_info try_download_result try_recover_from_json
        update_submission_state upload_jobs work_base""",
}
#: of the enumeration, with their numbers
JOB_STATUS: Final = {
    "unsubmitted": 1,
    "waiting": 2,
    "running": 3,
    "terminated": 4,
    "finished": 5,
    "completing": 6,
    "failed": 7,
    "unknown": 100,
}
#: what `from dpdispatcher import …` gives; `info` is the manual's
PACKAGE: Final = ("Job", "Machine", "Resources", "Submission", "Task", "__version__", "info")
#: modules, each with the public names that are its own
MODULES: Final[dict[str, str]] = {
    "base_context": "BaseContext",
    "contexts.dp_cloud_server_context": "BohriumContext DpCloudServerContext LebesgueContext",
    "contexts.hdfs_context": "HDFSContext",
    "contexts.lazy_local_context": "LazyLocalContext SPRetObj",
    "contexts.local_context": "LocalContext SPRetObj",
    "contexts.openapi_context": "OpenAPIContext",
    "contexts.ssh_context": "SSHContext SSHSession",
    "dpdisp": "main main_parser parse_args",
    "entrypoints.gui": "start_dpgui",
    "entrypoints.run": "run",
    "entrypoints.submission": "handle_submission",
    "entrypoints.submit": "load_submission_from_json submission_args submit",
    "file_manager": """
        ArchiveBuilder AtomicTextWriter FileEntry FileTransfer ManifestBuilder MissingEntry PathPolicy
        PathResolver RemoteManifestBuilder ResolvedManifest SafeArchiveExtractor SubmissionStagingPlan
        write_text_atomic""",
    "machine": "Machine",
    "machines.JH_UniScheduler": "JH_UniScheduler",
    "machines.distributed_shell": "DistributedShell",
    "machines.dp_cloud_server": "Bohrium DpCloudServer Lebesgue",
    "machines.fugaku": "Fugaku",
    "machines.lsf": "LSF",
    "machines.openapi": "OpenAPI unzip_file",
    "machines.pbs": "PBS SGE Torque",
    "machines.shell": "Shell",
    "machines.slurm": "Slurm SlurmJobArray",
    "run": "create_submission pep723_args read_pep723 run_pep723",
    "submission": "Job Resources Submission Task",
    "utils.archive": "UnsafeArchiveError safe_extract_tar safe_extract_zip",
    "utils.dpcloudserver.client": "Client RequestInfoException",
    "utils.dpcloudserver.retcode": "RETCODE",
    "utils.dpcloudserver.zip_file": "unzip_file zip_file_list",
    "utils.hdfs_cli": "HDFS HDFSMissingPathError",
    "utils.job_status": "JobStatus",
    "utils.record": "Record record",
    "utils.utils": """
        RetrySignal customized_script_header_template generate_totp get_sha256 hotp retry rsync
        run_cmd_with_all_output""",
}
