package watermill_test

// The rules, or single cases, that a Pub/Sub does not keep, each with the
// reason. What is missing here must pass.

// noTopics is what no Broker of this package has.
const noTopics = "groups and keys are for the Watermill Subscriber to configure, not for a Source"

// noManager is what a Watermill Pub/Sub alone cannot do.
const noManager = "a queue has properties only with a Manager, and here is none"

var missingOnAMQP = map[string]string{
	"P3":                       "the error names what failed, but the Publisher knows no limits by which anything could fail here; see TestPublishNamesFailed",
	"P4":                       "watermill-amqp reports no message that was returned: Publish is nil, and the message is lost",
	"P5_returns_when_ctx_ends": "it holds with a Publisher that hangs, see TestPublishReturns; but watermill-amqp has a data race when it reconnects",
	"P5_unconfirmed":           "as P5_returns_when_ctx_ends",
	"P6":                       "watermill-amqp returns an error while it is not connected",
	"P7":                       "watermill-amqp takes no notice of connection.blocked, and waits for ever",
	"P8":                       "watermill-amqp knows no size limit",
	"P9":                       "watermill-amqp says that a message was not confirmed, and not that it was refused; queues have no MaxLength without a Manager",
	"C1_get":                   "a queue that does not exist is declared by watermill-amqp's subscription",
	"C5_requeue":               "Watermill has no mark for redelivery",
	"C5_wait_holds_up_nothing": "watermill-amqp hands out the next message when the one before is acknowledged, and what waits for a retry is not",
	"C7_dead_letter_confirmed": "needs MaxLength, as P9",
	"C7_redrive_long_names":    noTopics,
	"C7_redrive_to_nowhere":    "as P4, and Delete needs a Manager",
	"C8_lost_connection":       "Watermill has no mark for redelivery, and watermill-amqp has a data race when it reconnects",
	"C8_late_verdict":          "as C8_lost_connection",
	"C9_foreign":               "watermill-amqp's DefaultMarshaler returns a header that is no string to the queue for ever; the RabbitMQ adapter's Marshaler does not",
	"C12":                      "watermill-amqp resumes, does not say so, and has a data race when it does",
	"C14":                      "watermill-amqp has no delays, and the cases need them; TTL is kept, see TestTTL",
	"T1":                       noTopics,
	"T2":                       noTopics,
	"T3":                       noTopics,
	"S5_close_while_away":      "as P5_returns_when_ctx_ends",
	"H1_watch_connection":      "Watermill has no way to ask whether a Pub/Sub is connected",
	"H1_watch_blocked":         "as H1_watch_connection",
	"Declare":                  noManager,
}

var missingOnGoChannel = func() map[string]string {
	const (
		everybody = "every subscription gets every message, acknowledged or not"
		disorder  = "GoChannel keeps no order"
		noFaults  = "there is no connection that could fail"
	)
	return map[string]string{
		"P1":                       everybody,
		"P2":                       disorder,
		"P3":                       "GoChannel refuses no message",
		"P4":                       "GoChannel creates topics by itself",
		"P5_returns_when_ctx_ends": noFaults,
		"P5_unconfirmed":           noFaults,
		"P6":                       noFaults,
		"P7":                       noFaults,
		"P8":                       "GoChannel knows no size limit",
		"P9":                       "GoChannel knows no limits",
		"P11":                      disorder,
		"C1":                       everybody,
		"C2":                       everybody,
		"C3":                       disorder,
		"C5":                       everybody,
		"C6_attempts":              everybody,
		"C7":                       everybody,
		"C8_lost_connection":       noFaults,
		"C8_late_verdict":          noFaults,
		"C9":                       disorder,
		"C10":                      everybody,
		"C12":                      noFaults,
		"C13":                      everybody,
		"C14":                      "GoChannel has no delays",
		"T1":                       noTopics,
		"T2":                       noTopics,
		"T3":                       noTopics,
		"S1":                       everybody,
		"S2":                       everybody,
		"S3":                       everybody,
		"S4":                       everybody,
		"S5_close_while_away":      noFaults,
		"H1_watch_connection":      noFaults,
		"H1_watch_blocked":         noFaults,
		"Declare":                  noManager,
	}
}()

var missingOnBothWays = map[string]string{
	"P7":                    "Publish says ErrBlocked; Health cannot know",
	"C1_get":                "a queue that does not exist is declared by the subscription",
	"C7_redrive_long_names": noTopics,
	"C8_lost_connection":    "it may come again to the subscription whose one handler is still busy with it",
	"C8_late_verdict":       "as C8_lost_connection",
	"C11_nothing_unsent":    "Watermill does not say when a subscription has resumed, and the case waits for that",
	"C12":                   "a subscription resumes; Watermill does not say when",
	"T1":                    noTopics,
	"T2":                    noTopics,
	"T3":                    noTopics,
	"H1_watch_connection":   "Watermill has no way to ask whether a Pub/Sub is connected",
	"H1_watch_blocked":      "as H1_watch_connection",
	"Declare_exclusive":     "as C1_get: who asks for the queue at another Broker declares it there",
}
