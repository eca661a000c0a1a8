//! Every bound in one place. Nothing in doorbell waits, buffers, loops or lists without one of these.

use std::time::Duration;

/// A source's answer after decompression, unless it says otherwise.
pub(crate) const BODY_BYTES_DEFAULT: usize = 32 * 1024 * 1024;
/// The most a source may ask for with `max_body`.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;
/// Bodies kept of one poll by `poll --record`, all of its answers together.
pub(crate) const RECORDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Nesting of JSON. Recursive readers come after this check, so that depth can never exhaust a stack.
pub(crate) const JSON_DEPTH_MAX: usize = 128;
/// Nesting of XML elements: each may become an object in a list, and [`JSON_DEPTH_MAX`] holds for what comes out.
pub(crate) const XML_DEPTH_MAX: usize = 60;
/// Elements and attributes of one XML document.
pub(crate) const XML_NODES_MAX: usize = 10_000_000;
/// Different names of attributes and children in one XML element: all of them are in memory until it is closed.
pub(crate) const XML_NAMES_MAX: usize = 10_000;
/// Columns of a CSV listing.
pub(crate) const CSV_COLUMNS_MAX: usize = 10_000;
/// How many times longer than the answer the JSON may be that is made of it: every row repeats the names of its columns.
pub(crate) const CONVERTED_GROWTH_MAX: usize = 16;
/// Items in one listing, over all its pages.
pub(crate) const ITEMS_MAX: usize = 2_000_000;
/// Pages in one poll.
pub(crate) const PAGES_MAX: usize = 10_000;
/// Pages of a listing that are remembered with their validators; longer ones are always read whole.
pub(crate) const KNOWN_PAGES_MAX: usize = 1_000;
/// Length of an item key in bytes: it travels in logs, URLs and indexes.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// Outputs of one jq expression over one document.
pub(crate) const JQ_OUTPUTS_MAX: usize = ITEMS_MAX;
/// Length of a URL that templates give, in bytes: servers refuse longer ones long before.
pub(crate) const URL_BYTES_MAX: usize = 32 * 1024;
/// Length of a jq expression in bytes.
pub(crate) const JQ_TEXT_BYTES_MAX: usize = 64 * 1024;
/// What is read of a receiver's answer.
pub(crate) const RECEIVER_ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What is recorded of it with an attempt that was accepted.
pub(crate) const RECORDED_ANSWER_BYTES_MAX: usize = 2 * 1024;
/// The same of a refusal, which has to be understood.
pub(crate) const RECORDED_REFUSAL_BYTES_MAX: usize = RECEIVER_ANSWER_BYTES_MAX;
/// What a listing shows of it.
pub(crate) const LISTED_ANSWER_CHARS_MAX: usize = 200;
/// Delays to come that are shown of a delivery.
pub(crate) const SHOWN_DELAYS_MAX: u32 = 6;
/// How long the rest of a receiver's answer is waited for after its headers: the status is the answer.
pub(crate) const RECEIVER_ANSWER_REST_WAIT_MAX: Duration = Duration::from_secs(1);
/// Slowest transfer that is not a drip: bytes per second, judged after [`DRIP_GRACE`].
pub(crate) const DRIP_BYTES_PER_SECOND_MIN: u64 = 64;
/// How long a transfer may be slower than [`DRIP_BYTES_PER_SECOND_MIN`].
pub(crate) const DRIP_GRACE: Duration = Duration::from_secs(10);
/// Names looked up at once. The system's resolver blocks a thread each, and a dead name server holds it for long.
pub(crate) const LOOKUPS_IN_FLIGHT_MAX: usize = 64;
/// Idle connections kept to one origin; see [`CONNECTION_IDLE_MAX`].
pub(crate) const CONNECTIONS_IDLE_PER_ORIGIN_MAX: usize = 64;
/// How long an idle connection is kept. Below the common 75 s of servers, so that we hang up first.
pub(crate) const CONNECTION_IDLE_MAX: Duration = Duration::from_mins(1);
/// The longest we obey a source's `Retry-After`.
pub(crate) const SOURCE_RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// The longest we obey a receiver's `Retry-After`.
pub(crate) const ENDPOINT_RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// How far apart the probes of a failing receiver are at most, unless its breaker says longer: one that is back is to be
/// noticed soon, however long it was away.
pub(crate) const PROBE_WAIT_MAX: Duration = Duration::from_mins(5);
/// Redirects a source may ask to be followed.
pub(crate) const REDIRECTS_MAX: usize = 20;
/// What is read of a token server's answer.
pub(crate) const TOKEN_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Length of a token: it travels in a header.
pub(crate) const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// The longest lifetime of a token that is believed.
pub(crate) const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(10 * 365 * 24);
/// A token is renewed at least so long before it ends, unless that is more than half of its lifetime.
pub(crate) const TOKEN_RENEWAL_LEAD_MIN: Duration = Duration::from_secs(5);
/// A token is renewed at most so long before it ends.
pub(crate) const TOKEN_RENEWAL_LEAD_MAX: Duration = Duration::from_mins(5);
/// A token server is asked at most so often because a token was refused: a source that refuses every token must not
/// wear it out.
pub(crate) const TOKEN_REFUSALS_PERIOD: Duration = Duration::from_secs(10);
/// How long a token server that refused is left alone, at first and at most.
pub(crate) const TOKEN_PAUSE_MIN: Duration = Duration::from_millis(500);
/// See [`TOKEN_PAUSE_MIN`].
pub(crate) const TOKEN_PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long tokens that were just granted may take to be written down when the process ends.
pub(crate) const TOKEN_GRACE: Duration = Duration::from_secs(5);
/// Polls under way at once, over all sources.
pub(crate) const POLLS_IN_FLIGHT_MAX: usize = 512;
/// Polls that are due within so little of each other begin together: to wake up costs more than to poll.
pub(crate) const POLLS_TOGETHER: Duration = Duration::from_millis(5);
/// How long a credential is left alone at most after "too many requests" that does not say for how long.
pub(crate) const LIMIT_PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long a request waits, in the middle of a poll, for what a server holds back; longer, and the poll ends.
pub(crate) const HELD_REQUEST_WAIT_MAX: Duration = Duration::from_mins(2);
/// Failures in a row at one origin, for more than one unit, until it is asked by one probe at a time.
pub(crate) const ORIGIN_FAILURES_MIN: u32 = 5;
/// Polls under way at once at an origin that fails.
pub(crate) const POLLS_AT_FAILING_ORIGIN_MAX: usize = 4;
/// Requests a second to one origin by polls whose interval adapts, where nobody wrote a limit; a courtesy.
pub(crate) const COURTESY_RATE: u32 = 20;
/// How many of these may go out at once.
pub(crate) const COURTESY_BURST: u32 = 100;
/// Polls a second at one origin of those that a limit is written for, while the server does not charge for what nothing
/// changed: such polls are held up by nothing else, and servers have limits that they do not tell.
pub(crate) const UNPAID_RATE: u32 = 10;
/// Hosts that used to answer and cannot be reached all at once until it must be our own network.
pub(crate) const OUTAGE_HOSTS_MIN: usize = 2;
/// Hosts that are remembered to have answered.
pub(crate) const OUTAGE_HOSTS_MAX: usize = 1_000;
/// While our own network is down, sources are asked again within this time.
pub(crate) const OUTAGE_LOOK_PERIOD: Duration = Duration::from_secs(30);
/// Polls under way at once, over all sources, that one origin leaves to others: it has at most as many as are free.
pub(crate) const POLLS_AT_ORIGIN_MIN: usize = 16;
/// Servers' requests to be left alone that outlast a restart; those that end first give way.
pub(crate) const HOLDS_KEPT_MAX: usize = 1_000;
/// Shorter ones are over before anybody asks again.
pub(crate) const HOLD_KEPT_MIN: Duration = Duration::from_secs(5);
/// Origins that are remembered with how they fare.
pub(crate) const ORIGINS_KNOWN_MAX: usize = 10_000;
/// The most requests a written rate may allow in one period.
pub(crate) const RATE_COUNT_MAX: u32 = 10_000_000;
/// The most `concurrency` a budget may ask for.
pub(crate) const BUDGET_CONCURRENCY_MAX: usize = 1024;
/// Polls under way at once of the entries of one source, so that its thousands leave room for others.
pub(crate) const ENTRIES_IN_FLIGHT_MAX: usize = 64;
/// The same while nothing but failures comes back: a server that is down must not cost thousands of time-outs at once.
pub(crate) const ENTRIES_IN_FLIGHT_FAILING_MAX: usize = 4;
/// Failed polls of a source's entries in a row until [`ENTRIES_IN_FLIGHT_FAILING_MAX`] holds.
pub(crate) const ENTRIES_FAILING_MIN: u32 = 8;
/// Entries that a message names as examples.
pub(crate) const ENTRIES_NAMED_MAX: usize = 3;
/// Entries whose items vanished within this time are judged together by the brake.
pub(crate) const ENTRIES_VANISHED_WINDOW: Duration = Duration::from_hours(1);
/// A body made by an endpoint's `body`: a template may say the same many times.
pub(crate) const MADE_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Requests in flight to one endpoint, unless it says otherwise.
pub(crate) const ENDPOINT_CONCURRENCY_DEFAULT: usize = 8;
/// The most `concurrency` an endpoint may ask for.
pub(crate) const ENDPOINT_CONCURRENCY_MAX: usize = 1024;
/// A file that events are written to; before it would grow beyond, it is set aside as `PATH.1`.
pub(crate) const SINK_FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// How many files set aside are kept, `PATH.1` being the newest.
pub(crate) const SINK_FILES_KEPT_MAX: u32 = 10;
/// Deliveries held ready in memory per endpoint beyond those in flight; the rest waits in the store.
pub(crate) const CLAIMS_AHEAD_MAX: usize = 256;
/// Attempts at an endpoint, for each request that it admits: those beyond have their answer, and wait for the disk.
pub(crate) const ATTEMPTS_PER_REQUEST_MAX: usize = 4;
/// Deliveries that one commit hands over to be sent without being read again, and how many an endpoint takes at a time.
pub(crate) const HANDED_OVER_MAX: usize = 32;
/// The longest event that is handed over; longer ones are read.
pub(crate) const HANDED_OVER_BYTES_MAX: usize = 64 * 1024;
/// How far ahead a replay in no hurry is planned at most; what is planned for later was so by a clock that was wrong.
pub(crate) const REPLAY_AHEAD_MAX: Duration = Duration::from_hours(365 * 24);
/// Writes that share one transaction.
pub(crate) const GROUP_WRITES_MAX: usize = 512;
/// Events, or deliveries, that one transaction removes because of their age.
pub(crate) const EXPIRED_ROWS_PER_WRITE: usize = 100;
/// Deliveries that are given up because of their age, with one event for each endpoint that tells how many they are.
pub(crate) const LAPSED_AT_ONCE_MAX: usize = 20_000;
/// Events that one look for such passes.
pub(crate) const EXPIRED_LOOK_ROWS: usize = 1_000;
/// Changed items that one transaction of a poll takes up; a longer page is committed in parts.
pub(crate) const COMMIT_ITEMS_MAX: usize = 5_000;
/// Changed items of a long listing that wait for one transaction, in bytes: read, they take up several times as much.
pub(crate) const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// What the snapshots kept between polls take together, in bytes: a source of a million items, or hundreds of ten thousand.
pub(crate) const INDEXES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Snapshots of fewer items are read from the store each time, which is quick; tests keep all, to see whether they go wrong.
pub(crate) const INDEX_ITEMS_MIN: usize = if cfg!(test) { 1 } else { 256 };
/// Changes of one poll that are followed in a kept snapshot; after more of them it is read anew.
pub(crate) const INDEX_CHANGES_MAX: usize = 50_000;
/// Bodies longer than this wait in a file while they are compared.
pub(crate) const BODY_IN_MEMORY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much of such a body is read at once.
pub(crate) const BODY_PART_BYTES: usize = 1024 * 1024;
/// Bodies larger than this are read off the loop's own threads.
pub(crate) const LIGHT_BODY_BYTES_MAX: usize = 128 * 1024;
/// What polls that changed nothing taught is written this often.
pub(crate) const STATE_FLUSH_PERIOD: Duration = Duration::from_mins(1);
/// How far apart, on average, the first polls of those are that begin together: a few begin at once, and very many over
/// their interval.
pub(crate) const START_SPACING: Duration = Duration::from_millis(20);
/// Over how long polls that are overdue when the machine wakes up are spread at least: its network wakes up, too.
pub(crate) const OVERDUE_SPREAD_MIN: Duration = Duration::from_secs(5);
/// Over how long they are spread at most.
pub(crate) const OVERDUE_SPREAD_MAX: Duration = Duration::from_mins(1);
/// An item that a poll by hand shows whole.
pub(crate) const SAMPLE_BYTES_MAX: usize = 16 * 1024;
/// Rows one listing call of the API or command line answers at most.
pub(crate) const LIST_ROWS_MAX: usize = 1000;
/// How long any loop sleeps at most before it looks again, whatever it was told.
pub(crate) const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// How long a paused source is not looked at; a reload looks at once.
pub(crate) const PAUSED_LOOK_PERIOD: Duration = Duration::from_hours(1);
/// Complete listings without an item before it counts as deleted.
pub(crate) const DELETE_AFTER_LISTINGS: u32 = 2;
/// The brake: deletions in one poll that need a person when *both* limits are exceeded.
pub(crate) const BRAKE_COUNT: usize = 50;
/// See [`BRAKE_COUNT`]; percent of the items known.
pub(crate) const BRAKE_PERCENT: usize = 20;
/// Items that one poll asks for by themselves, to see whether they are gone.
pub(crate) const CHECKS_MAX: usize = 50;
/// A sweep that failed is made again after this part of its period.
pub(crate) const SWEEP_AGAIN: u32 = 10;
/// Created items in one poll beyond which they are held for a person, unless a source says otherwise.
pub(crate) const FLOOD: usize = 1000;
/// How much more a source may count than others that share its limit.
pub(crate) const WEIGHT_MAX: usize = 1000;
/// Times of changes that one poll takes in.
pub(crate) const CHANGE_TIMES_MAX: usize = 1000;
/// Length of one configuration file. Larger set-ups are split with `include`.
pub(crate) const CONFIG_FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Nesting in a configuration file; a valid one needs eight.
pub(crate) const CONFIG_DEPTH_MAX: usize = 32;
/// Values any configuration file may hold; a file may hold one more for every four bytes of its length.
pub(crate) const CONFIG_NODES_MIN: usize = 100_000;
/// Values that blocks shared by sources may come to in all of these.
pub(crate) const CONFIG_SHARED_NODES_MAX: usize = 5_000_000;
/// Blocks of `apis` that one after the other name the next.
pub(crate) const CONFIG_APIS_DEPTH_MAX: usize = 16;
/// Configuration files, all `include`s together.
pub(crate) const CONFIG_FILES_MAX: usize = 10_000;
/// Length of a file that holds one secret or other value.
pub(crate) const VALUE_FILE_BYTES_MAX: usize = 64 * 1024;
/// Length of a source's or endpoint's name in bytes: it travels in logs, URLs and metrics.
pub(crate) const NAME_BYTES_MAX: usize = 128;
/// The longest duration that can be written: a hundred years.
pub(crate) const DURATION_MAX: Duration = Duration::from_hours(100 * 365 * 24);

const _: () = assert!(BODY_BYTES_DEFAULT <= BODY_BYTES_MAX);
const _: () = assert!(ENDPOINT_CONCURRENCY_DEFAULT <= ENDPOINT_CONCURRENCY_MAX);
const _: () = assert!(RECEIVER_ANSWER_BYTES_MAX < BODY_BYTES_DEFAULT);
