"""Where constelite's own stores differ from its documentation, as of constelite 1.0.0.

Each is a test of the conformance suite that fails, with what the store does instead.
"""

from __future__ import annotations

_QUERY = "QUERY is not allowed"
_LOST = "put succeeds, and the content is gone"
_RAISES = "put raises"
_PATH = "a uid is taken for a path, and what lies there for a record"

_BOTH = {
    "test_put_gives_a_relationship_to_a_record_without": "fails on a relationship that is None",
    "test_put_keeps_the_members_that_stay": "deletes the member, then raises",
    "test_put_of_what_was_got_changes_nothing": "deletes the members, then raises",
    "test_put_deletes_members_of_old_members": "the cascade stops after one level",
    "test_put_of_one_state_twice_is_one_record": "makes two records",
    "test_put_of_a_diamond_is_one_record": "makes two records",
    "test_put_of_a_ring_of_states_ends": "never ends",
    "test_put_of_a_base_class_keeps_the_class": "the record takes the name of the base class",
    "test_put_of_an_unrelated_class_is_refused": "turns the record into that class",
    "test_put_that_fails_changes_nothing": "leaves the half that was written",
    "test_put_raises_the_error_itself": "raises nested exception groups",
    "test_put_refuses_a_link_to_another_store": "accepted if the uid exists here",
    "test_patch_gives_a_series_to_a_record_without": "fails on a series that is None",
    "test_patch_puts_new_related_states": "raises; the old link is already gone",
    "test_patch_of_what_was_got_changes_nothing": "doubles links and points",
    "test_delete_takes_members_of_members_along": "the cascade stops after one level",
    "test_delete_spares_a_member_that_has_another_owner": "the first owner takes it along",
    "test_delete_removes_the_links_to_the_record": "leaves the links",
    "test_delete_removes_the_backrefs_of_the_record": "leaves the backrefs",
    "test_backrefs_follow_the_links": "leaves the old backref",
    "test_backrefs_name_the_class": "names the class 'Any'",
    "test_backrefs_of_subclasses_are_filled": "stay empty",
    "test_value_survives[mapping]": _LOST,
    "test_value_survives[pairs]": _LOST,
    "test_value_survives[day]": _RAISES,
    "test_value_survives[identity]": _RAISES,
    "test_value_survives[colour]": _RAISES,
    "test_query_finds_subclasses": _QUERY,
    "test_query_finds_by_property": _QUERY,
    "test_query_finds_by_relationship": _QUERY,
    "test_graphql_selects_fields": "raises AttributeError: there is no schema",
}

MEMORY_STORE: dict[str, str] = {
    **_BOTH,
    "test_get_returns_a_state_of_its_own": "get returns the stored object itself",
}

PICKLE_STORE: dict[str, str] = {
    **_BOTH,
    "test_a_uid_is_no_path[]": _PATH,
    "test_a_uid_is_no_path[.]": _PATH,
    "test_a_uid_is_no_path[..]": _PATH,
    "test_a_uid_is_no_path[/etc/passwd]": _PATH,
}
