"""The thirty requirements on whatever consumes Kafka from Python, and the tests of each; `test_requirements.py` keeps the list right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement."""

    says: str
    tests: tuple[str, ...] = ()
    each_protocol: bool = False
    """Whether it is about members of a group on a real broker, so that a test of it runs with each group protocol."""
    untested: str = ""
    """Why it has no test."""


REQUIREMENTS = {
    1: Requirement(
        "One owner thread makes every call on a consumer; others send it commands.",
        (
            "test_r01_one_thread_makes_every_call_on_a_consumer",
            "test_r01_a_command_is_obeyed_within_a_turn_though_partitions_are_idle",
        ),
        each_protocol=True,
    ),
    2: Requirement(
        "Records are taken as they come: a brief poll, then what is there.",
        ("test_r02_a_lone_record_comes_at_once_and_so_does_the_one_after_a_full_batch",),
        each_protocol=True,
    ),
    3: Requirement(
        "Polling goes on while handlers hang, everything is held and commits fail.",
        ("test_r03_polling_goes_on_whatever_is_stuck",),
        each_protocol=True,
    ),
    4: Requirement(
        "A lane is a topic, a partition and a key by its bytes; records without a key have a lane each.",
        (
            "test_r04_records_without_a_key_are_lanes_of_their_own",
            "test_r04_equal_keys_of_other_topics_or_partitions_are_other_lanes",
            "test_r04_keys_are_equal_by_their_bytes",
        ),
    ),
    5: Requirement(
        "At most one handler of a lane runs, one of an older epoch included.",
        (
            "test_r05_a_key_that_runs_in_an_older_epoch_is_waited_for",
            "test_r05_a_flight_of_an_older_epoch_is_waited_for",
            "test_r05_a_partition_that_is_lost_and_regained_goes_on",
        ),
        each_protocol=True,
    ),
    6: Requirement(
        "A result of a stale epoch is discarded and touches nothing new.",
        (
            "test_r06_a_result_that_comes_while_another_owns_the_partition_is_discarded",
            "test_r06_a_result_that_comes_after_the_partition_came_back_is_discarded",
        ),
        each_protocol=True,
    ),
    7: Requirement(
        "A commit is base, frontier and open offsets of one moment.",
        ("test_r07_what_is_committed_says_exactly_what_is_done_wherever_a_worker_dies",),
    ),
    8: Requirement(
        "Nothing is committed of a partition that is not owned in the present epoch.",
        (
            "test_r08_nothing_is_committed_of_what_another_owns",
            "test_r08_what_was_about_to_be_committed_when_a_partition_went_is_left_out",
            "test_r08_what_the_consumer_has_lost_is_not_committed_even_before_the_loop_hears_of_it",
        ),
        each_protocol=True,
    ),
    9: Requirement(
        "Gaps between offsets (markers, aborted records, compaction) count as done.",
        (
            "test_r09_gaps_hold_nothing_up_and_the_lag_reaches_nothing",
            "test_r09_what_is_gone_from_the_topic_is_done",
        ),
        each_protocol=True,
    ),
    10: Requirement(
        "The offset map is checked, bounded, at most 4,095 ASCII characters, and anything else is passed over.",
        (
            "test_r10_a_broker_takes_metadata_up_to_our_limit_and_no_more",
            "test_r10_metadata_that_something_else_wrote_means_from_the_committed_offset_on",
            "test_r10_it_comes_back_as_it_was_written",
            "test_r10_any_bytes_are_a_map_that_makes_sense_or_none",
            "test_r10_a_map_of_a_billion_holes_is_not_made",
            "test_r10_metadata_fits_what_a_broker_takes",
            "test_r10_the_nul_that_the_client_library_appends_is_passed_over",
            "test_r10_what_others_wrote_is_nothing_of_ours",
        ),
        each_protocol=True,
    ),
    11: Requirement(
        "Before the map is full the intake stops, loudly; nothing of it is ever dropped.",
        (
            "test_r11_a_full_map_stops_the_intake_and_is_never_dropped",
            "test_r11_memory_is_bounded_by_settings_not_by_the_backlog",
            "test_r11_memory_is_bounded_in_bytes_too",
            "test_r11_a_slow_key_does_not_let_results_pile_up_without_bound",
            "test_r11_a_map_that_is_nearly_full_takes_only_what_closes_gaps",
        ),
        each_protocol=True,
    ),
    12: Requirement(
        "What is assigned is resumed, found as it is, and freed of a predecessor's open transaction.",
        (
            "test_r12_a_partition_that_was_paused_lost_and_regained_delivers",
            "test_r12_a_predecessors_open_transaction_is_ended",
            "test_r12_offsets_that_somebody_has_set_are_where_it_goes_on",
            "test_r12_an_offset_beyond_the_end_or_deleted_is_no_dead_end",
            "test_r12_a_partition_that_the_client_forgets_is_fetched_anew",
            "test_r12_markers_at_the_end_of_a_partition_are_no_reason_to_start_anew",
        ),
        each_protocol=True,
    ),
    13: Requirement(
        "A load that goes up and down fetches nothing again.",
        ("test_r13_a_load_that_goes_up_and_down_fetches_nothing_again",),
        each_protocol=True,
    ),
    14: Requirement(
        "What is done is committed in the end, whatever became of the commit before.",
        ("test_r14_what_is_done_while_a_commit_is_under_way_is_committed_next",),
        each_protocol=True,
    ),
    15: Requirement(
        "A handover waits, bounded, for what runs; nothing that a callback raises reaches the consumer.",
        (
            "test_r15_what_runs_at_a_handover_is_finished_and_committed_first",
            "test_r15_a_handover_that_outlasts_its_bound_loses_nothing",
            "test_r15_a_generation_that_rises_with_the_handover_itself_lets_it_commit",
            "test_r15_a_listener_that_raises_does_not_reach_the_consumer",
        ),
        each_protocol=True,
    ),
    16: Requirement(
        "Fatal errors end the consumer and are told; deleted records are passed over.",
        (
            "test_r16_a_fatal_error_ends_the_consumer_and_is_told",
            "test_r16_an_error_is_fatal_by_its_code_too",
        ),
        each_protocol=True,
    ),
    17: Requirement(
        "Three to twelve members come and go, by each protocol.",
        ("test_r17_members_come_and_go_and_all_is_done_once_in_order",),
        each_protocol=True,
    ),
    18: Requirement(
        "Outputs exactly once, under the snapshot that the ownership check used.",
        (
            "test_r18_offsets_of_what_the_snapshot_does_not_own_are_refused",
            "test_r18_a_partition_that_moves_inside_a_transaction_is_put_out_once",
        ),
        each_protocol=True,
    ),
    19: Requirement(
        "Every bad end of a transaction has its way on: again, a new producer, or a takeover.",
        (
            "test_r19_a_producer_that_is_fenced_or_whose_answer_is_lost_goes_on",
            "test_r19_a_transaction_that_the_broker_timed_out_is_done_again",
            "test_r19_an_output_that_the_broker_does_not_take_is_aborted_and_others_go_through",
            "test_r19_an_output_too_large_for_a_topic_is_a_defect_of_this_message",
            "test_r19_what_was_aborted_is_committed_again_as_it_was",
        ),
        each_protocol=True,
    ),
    20: Requirement(
        "Transactions are short, and their producer's id is found by whoever takes over.",
        (
            "test_r20_no_transaction_is_open_while_a_handler_runs",
            "test_r20_a_producer_has_one_id_as_long_as_it_lives_and_successors_find_it",
        ),
        each_protocol=True,
    ),
    21: Requirement(
        "Records are decoded one by one; what is no message is a dead letter as it came.",
        (
            "test_r21_an_id_that_the_registry_does_not_know_is_undecodable_and_a_registry_that_is_down_is_not",
            "test_r21_bytes_that_are_no_message_are_kept_byte_for_byte_and_the_loop_goes_on",
            "test_r21_a_payload_whose_schema_id_stands_in_a_header_keeps_that_header",
        ),
    ),
    22: Requirement(
        "The order of a key survives retries, dead letters, crashes and rebalances.",
        (
            "test_r22_retries_keep_the_order_of_their_key_through_rebalances",
            "test_r22_nothing_overtakes_a_dead_letter_of_its_key_whoever_owns_the_partition",
        ),
        each_protocol=True,
    ),
    23: Requirement(
        "Retries are bounded; a message is done with its dead letter; too many of them stop the subscriber.",
        (
            "test_r23_a_dead_letter_that_cannot_be_put_out_holds_its_message_back",
            "test_r23_whatever_a_topic_took_can_be_put_out_again",
            "test_r23_a_stop_that_kafka_does_not_confirm_is_void",
            "test_r23_too_many_in_a_row_stop_it_and_nothing_more_is_taken",
            "test_r23_too_large_a_share_stops_it",
        ),
        each_protocol=True,
    ),
    24: Requirement(
        "A dead letter has a fixed set of headers, replaced and cut; what it came with stays.",
        (
            "test_r24_failing_fifty_times_makes_a_record_no_larger",
            "test_r24_what_a_record_came_with_it_keeps_however_often_it_fails",
        ),
    ),
    25: Requirement(
        "A group is never rewound: whoever reads, or publishes again, leaves its offsets and maps alone.",
        (
            "test_r25_whoever_reads_leaves_a_groups_offsets_and_maps_untouched",
            "test_r25_what_is_published_again_does_not_move_what_was_done",
            "test_r25_the_same_message_from_another_record_puts_out_nothing",
        ),
        each_protocol=True,
    ),
    26: Requirement(
        "A subscriber that has messages, none of which comes to an end, raises an alarm.",
        (
            "test_r26_a_worker_is_unhealthy_while_a_subscriber_stalls",
            "test_r26_a_gate_that_stays_closed_is_noticed",
            "test_r26_a_handler_or_a_commit_that_hangs_is_noticed",
            "test_r26_it_goes_on_as_soon_as_a_message_comes_to_an_end",
            "test_r26_what_says_why_it_waits_is_no_stall",
            "test_r26_what_a_person_has_paused_is_no_stall",
        ),
    ),
    27: Requirement(
        "Codecs are compiled once for each pair of schemas and need no registry once they are warm.",
        (
            "test_r27_an_id_is_learnt_once_and_then_the_registry_is_not_needed",
            "test_r27_a_decoder_is_made_once_for_each_schema_that_a_type_was_written_with",
        ),
    ),
    28: Requirement(
        "Agents on Faust have a concurrency of one and dead letters of their own.",
        untested="Nothing of ours runs on Faust, a peer of the benchmark only; an import contract keeps it so.",
    ),
    29: Requirement(
        "Closing, aborting and draining are bounded whatever the broker does.",
        (
            "test_r29_what_runs_is_finished_and_committed_and_what_is_queued_is_left",
            "test_r29_whoever_still_asks_a_consumer_that_leaves_is_answered",
            "test_r29_a_process_ends_though_its_broker_is_gone",
            "test_r29_drain_ends_when_transactions_do_not_come_through",
        ),
        each_protocol=True,
    ),
    30: Requirement(
        "Metrics and objects do not grow with partitions that come and go.",
        (
            "test_r30_partitions_that_come_and_go_leave_nothing_behind",
            "test_r30_a_thousand_assignments_leave_no_objects_and_no_metrics",
        ),
        each_protocol=True,
    ),
}
