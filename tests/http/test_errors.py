"""Groups of errors over HTTP."""

from typing import Any

from copilot_socket.core.access import Role
from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Failed
from copilot_socket.store.transition_rows import TransitionRequest
from tests.http.harness import SiteTestCase

API = "/api/v1/errors"
UNKNOWN = f"{API}/{'b' * 16}"


class FailedJobsTestCase(SiteTestCase):
    """With jobs that fail."""

    async def failed(self, path: str, error: str, **fields: Any) -> str:
        """A job that has failed for good; its fingerprint."""
        job = await self.job(full_path=path)
        self.query("UPDATE jobs SET status = 'running' WHERE id = %s", job)
        report = Failed(error, "TypeError", False, **fields)
        await self.transitions.run([TransitionRequest(job, Event.FAILED_FOR_GOOD, report=report)])
        return str((await self.get(f"/api/v1/jobs/{job}")).document["error"])


class ErrorTests(FailedJobsTestCase):
    """/api/v1/errors."""

    async def test_a_group(self) -> None:
        """As it is listed and shown."""
        await self.account()
        first = await self.failed("g/1", "Cannot store issue 7 of acme/shop")
        name = await self.failed("g/2", "Cannot store issue 12 of acme/x", stack_trace="at y", context=b'{"a":1}')
        self.assertEqual(first, name)
        [group] = (await self.get(API)).document["errors"]
        times = {"first_at": group["first_at"], "last_at": group["last_at"]}
        self.assertRegex(group["last_at"], r"^20.*Z$")
        never = dict.fromkeys(("errors_since_retry", "retried_at", "retried_by", "ignored_at", "ignored_by"))
        self.assertEqual(
            group,
            {
                "fingerprint": name,
                "error_type": "TypeError",
                "command": "issues",
                "text": "Cannot store issue <n> of <path>",
                "status": "open",
                "errors": 2,
                "accounts": 1,
                "jobs_failed": 2,
                **times,
                **never,
            },
        )
        shown = (await self.get(f"{API}/{name}")).document
        self.assertLessEqual(group.items(), shown.items())
        sample = shown["sample"]
        self.assertEqual(sample["error_message"], "Cannot store issue 12 of acme/x")
        self.assertEqual((sample["stack_trace"], sample["context"], sample["truncated"]), ("at y", {"a": 1}, []))
        job = (await self.get(f"/api/v1/jobs/{sample['job_id']}")).document
        self.assertEqual((job["error"], job["errors"][0]["fingerprint"]), (name, name))
        self.assertEqual(shown["history_unit"], "hour")
        self.assertEqual([each["errors"] for each in shown["history"]], [2])
        self.assertEqual(shown["top_accounts"], [{"account_id": "acme", "errors": 2}])
        none = (await self.get(f"{API}/{name}?until=2026-01-01T00:00:00Z")).document
        self.assertEqual((none["errors"], none["history"]), (0, []))

    async def test_ignored(self) -> None:
        """It is listed only where it is asked for, until that is taken back."""
        await self.account()
        name = await self.failed("g/1", "no")
        for method, status, listed in (("POST", "ignored", []), ("DELETE", "open", [name])):
            answer = await self.request(method, f"{API}/{name}/ignore")
            self.assertEqual((answer.status, answer.document), (200, {"fingerprint": name, "status": status}))
            found = (await self.get(API)).document["errors"]
            self.assertEqual([group["fingerprint"] for group in found], listed)
            found = (await self.get(f"{API}?status=ignored,open")).document["errors"]
            self.assertEqual([group["status"] for group in found], [status])

    async def test_pages(self) -> None:
        """As of every list."""
        await self.account()
        names = [await self.failed(f"g/{word}", word) for word in ("one", "two", "three")]
        seen, query = [], "?limit=2"
        while query:
            page = (await self.get(API + query)).document
            seen += [group["fingerprint"] for group in page["errors"]]
            query = page["next"] and f"?limit=2&cursor={page['next']}"
        self.assertEqual(seen, names[::-1])

    async def test_faults(self) -> None:
        """Wrong parameters are named, a cursor of another list is one; what is no fingerprint is not found."""
        await self.account()
        await self.account("b")
        foreign = (await self.get("/api/v1/accounts?limit=1")).document["next"]
        for query, path in (
            ("status=open,closed", "?status"),
            ("command=nonsense", "?command"),
            ("since=yesterday", "?since"),
            ("until=2026-01-05T10:00:00", "?until"),
            ("error_type=", "?error_type"),
            (f"cursor={foreign}", "?cursor"),
            ("cursor=WyIyMDI2LTk5LTk5VDAwOjAwOjAwWiIsImFhYWFhYWFhYWFhYWFhYWEiXQ", "?cursor"),  # the 99th of a month
            ("cursor=NQ", "?cursor"),
            ("reason=x", "?reason"),
        ):
            self.assertEqual(self.paths(await self.get(f"{API}?{query}")), [path])
        self.assertEqual(self.paths(await self.get(f"{UNKNOWN}?status=open")), ["?status"])
        self.assertEqual(self.paths(await self.post(f"{UNKNOWN}/ignore", {"x": 1})), [""])
        for path in (UNKNOWN, f"{API}/{'B' * 16}", f"{API}/%00"):
            self.assertEqual((await self.get(path)).status, 404)
            self.assertEqual((await self.post(f"{path}/ignore")).status, 404)
            self.assertEqual((await self.request("DELETE", f"{path}/ignore")).status, 404)

    async def test_access(self) -> None:
        """Everybody may read, operators may ignore; tokens that are limited see none of it."""
        tokens = {}
        for name, fields in (
            ("reader", {"role": str(Role.READ)}),
            ("limited", {"role": str(Role.APP), "accounts": ["acme"]}),
        ):
            tokens[name] = (await self.post("/api/v1/tokens", {"name": name, **fields})).document["token"]
        await self.access.read()
        for name, read in (("reader", 200), ("limited", 403)):
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            self.assertEqual((await self.get(API, headers=headers)).status, read)
            self.assertEqual((await self.post(f"{UNKNOWN}/ignore", headers=headers)).status, 403)


class RetryTests(FailedJobsTestCase):
    """POST /api/v1/errors/{fingerprint}/retry."""

    async def test_one_call(self) -> None:
        """All jobs that the errors have failed are retried by one call; what fails so again is a regression."""
        await self.account()
        names = {await self.failed(f"g/{n}", f"Cannot store issue {n} of acme/shop") for n in range(5)}
        other = await self.failed("g/other", "Out of memory")
        [name] = names
        started = await self.post(f"{API}/{name}/retry")
        self.assertEqual((started.status, started.document["expected"]), (202, 5))
        while await self.bulk.run_slice(2) is not None:
            pass
        place = started.header("Location") or ""
        self.assertEqual((await self.get(place)).document["changed"], {"failed": 5})
        group = (await self.get(f"{API}/{name}")).document
        retried = {"status": "retried", "retried_by": "token:COPILOT_HTTP_TOKEN", "errors_since_retry": 0}
        self.assertEqual({each: group[each] for each in retried}, retried)
        self.assertEqual(group["jobs_failed"], 0)
        self.assertEqual((await self.get(f"/api/v1/jobs?error={other}&total=true")).document["total"], 1)
        self.assertEqual(await self.failed("g/again", "Cannot store issue 9 of acme/shop"), name)
        [group] = (await self.get(f"{API}?status=regressed")).document["errors"]
        self.assertEqual((group["fingerprint"], group["errors_since_retry"], group["jobs_failed"]), (name, 1, 1))

    async def test_unknown(self) -> None:
        """Nothing is started for errors that there are not."""
        for path in (UNKNOWN, f"{API}/x"):
            self.assertEqual((await self.post(f"{path}/retry")).status, 404)
        self.assertEqual((await self.get("/api/v1/operations")).document["operations"], [])


class HistoryTests(SiteTestCase):
    """``include=history`` of a list."""

    async def test_history(self) -> None:
        """Each group by its own unit, within the time that is counted: as the group itself shows it."""
        self.query(
            "INSERT INTO error_groups (fingerprint, command, text, errors, first_at, last_at) VALUES"
            " (repeat('a', 16), 'issues', 'x', 9, '2026-01-01T10:30Z', '2026-01-05T10:30Z'),"
            " (repeat('b', 16), 'issues', 'y', 9, '2026-01-05T09:30Z', '2026-01-05T10:30Z'),"
            " (repeat('c', 16), 'issues', 'z', 9, '2026-01-02Z', '2026-01-04Z')"
        )
        self.query(
            "INSERT INTO error_counts VALUES (repeat('a', 16), '2026-01-01T10:00Z', 'me', 1),"
            " (repeat('a', 16), '2026-01-05T09:00Z', 'me', 2), (repeat('a', 16), '2026-01-05T10:00Z', 'me', 4),"
            " (repeat('a', 16), '2026-01-05T10:00Z', 'you', 8), (repeat('b', 16), '2026-01-05T09:00Z', 'me', 16),"
            " (repeat('b', 16), '2026-01-05T10:00Z', 'me', 32)"
        )
        day, hours = "2026-01-01T00:00:00Z", ["2026-01-05T09:00:00Z", "2026-01-05T10:00:00Z"]
        for query, expected in (
            (
                "",
                {
                    "a": ("day", [(day, 1), ("2026-01-05T00:00:00Z", 14)]),
                    "b": ("hour", [(hours[0], 16), (hours[1], 32)]),
                    "c": ("hour", []),
                },
            ),
            ("&account_id=you", {"a": ("day", [("2026-01-05T00:00:00Z", 8)])}),
            (
                "&since=2026-01-05T10:59:00Z&account_id=me",
                {"a": ("hour", [(hours[1], 4)]), "b": ("hour", [(hours[1], 32)])},
            ),
        ):
            groups = (await self.get(f"{API}?include=history{query}")).document["errors"]
            for group in groups:
                one = (await self.get(f"{API}/{group['fingerprint']}?{query.removeprefix('&')}")).document
                self.assertEqual((group["history_unit"], group["history"]), (one["history_unit"], one["history"]))
            shown = {
                group["fingerprint"][0]: (
                    group["history_unit"],
                    [(each["start"], each["errors"]) for each in group["history"]],
                )
                for group in groups
            }
            self.assertEqual(shown, expected)
        self.assertNotIn("history", (await self.get(API)).document["errors"][0])
        self.assertEqual(self.paths(await self.get(f"{API}?include=history&limit=101")), ["?limit"])

    async def test_the_latest(self) -> None:
        """Of a long history the end is shown."""
        self.query(
            "INSERT INTO error_groups (fingerprint, command, text, errors, first_at, last_at)"
            " VALUES (repeat('a', 16), 'issues', 'x', 9, '2025-01-01Z', '2026-01-05Z')"
        )
        self.query(
            "INSERT INTO error_counts SELECT repeat('a', 16), '2026-01-05Z'::timestamptz - n * interval '1 day',"
            " 'me', n FROM generate_series(1, 150) n"
        )
        [group] = (await self.get(f"{API}?include=history")).document["errors"]
        self.assertEqual([each["errors"] for each in group["history"]], list(range(100, 0, -1)))
