package chaos

// Programme is every fault, those of one kind next to each other.
func Programme() []Fault {
	return []Fault{
		{Kind: 1, Name: "kill-classic", Times: 20, Short: 2, inject: killNode("classic"),
			What: "kill -9 of the only node, durable classic queue, 64 publishers, 8 consumers"},
		{Kind: 1, Name: "kill-quorum", Times: 20, Short: 2, inject: killNode("quorum"),
			What: "kill -9 of the only node, quorum queue, 64 publishers, 8 consumers"},

		{Kind: 2, Name: "kill-leader", Times: 3, Short: 1, inject: inCluster(killLeader),
			What: "three nodes, quorum queue: kill -9 of the queue's leader"},
		{Kind: 2, Name: "kill-follower", Times: 3, Short: 1, inject: inCluster(killFollower),
			What: "three nodes, quorum queue: kill -9 of a follower"},
		{Kind: 2, Name: "kill-connected", Times: 3, Short: 1, inject: inCluster(killConnected),
			What: "three nodes, quorum queue: kill -9 of the node that publishers and consumers are connected to"},
		{Kind: 2, Name: "rolling-restart", Times: 1, Short: 1, inject: inCluster(restartAll),
			What: "three nodes, quorum queue: restart of one after the other"},
		{Kind: 2, Name: "partition", Times: 3, Short: 1, inject: inCluster(partition),
			What: "three nodes, quorum queue: packets to the node that the client is connected to vanish"},

		{Kind: 3, Name: "close-connection", Times: 20, Short: 5, inject: closeConnections,
			What: "the broker closes all connections"},
		{Kind: 3, Name: "channel-error", Times: 20, Short: 5, inject: channelErrors,
			What: "the broker closes all channels for an error on them"},
		{Kind: 3, Name: "cancel", Times: 4, Short: 3, inject: cancelConsumers,
			What: "the queue's process crashes and the broker cancels its consumers"},
		{Kind: 3, Name: "delete-queue", Times: 10, Short: 3, inject: deleteQueue,
			What: "the queue, empty, is deleted under its consumers"},
		{Kind: 3, Name: "consumer-timeout", Times: 3, Short: 1, inject: consumerTimeout,
			What: "a handler takes longer than the broker's consumer timeout"},

		{Kind: 4, Name: "cut-publish", Times: 1, Short: 1, inject: cutPublish,
			What: "cut at every byte of one publish and its confirm"},
		{Kind: 4, Name: "cut-deliver", Times: 1, Short: 1, inject: cutDeliver,
			What: "cut at every byte of one delivery and its acknowledgement"},
		{Kind: 4, Name: "cut-hundred", Times: 100, Short: 16, inject: cutHundred,
			What: "cut at a random byte of the publishing, and of the consuming, of a hundred messages"},

		{Kind: 5, Name: "half-open", Times: 6, Short: 3, inject: halfOpen,
			What: "packets vanish, both ways and each way, while the connection stays open"},

		{Kind: 6, Name: "memory-alarm", Times: 5, Short: 2, Once: true, Order: true, inject: alarm("memory"),
			What: "the broker is short of memory and blocks publishers"},
		{Kind: 6, Name: "disk-alarm", Times: 5, Short: 2, Once: true, Order: true, inject: alarm("disk"),
			What: "the broker is short of disk space and blocks publishers"},

		{Kind: 7, Name: "full-queue", Times: 1000, Short: 200, Once: true, inject: fullQueue,
			What: "a queue of 50 messages that rejects more"},
		{Kind: 7, Name: "delivery-limit", Times: 1, Short: 1, inject: deliveryLimit,
			What: "connections break while a message is handled, until its queue's delivery limit of 3"},
		{Kind: 7, Name: "too-large", Times: 50, Short: 10, Once: true, Order: true, inject: tooLarge,
			What: "one message over the size limit among good ones"},

		{Kind: 8, Name: "kill-consumer", Times: 30, Short: 6, inject: killConsumer,
			What: "kill -9 of a consumer process while it handles a message"},

		{Kind: 9, Name: "broker-away", Times: 600, Short: 20, Apart: true, inject: brokerAway,
			What: "the broker is away, for so many seconds"},

		{Kind: 10, Name: "sigterm", Times: 50, Short: 10, Once: true, inject: sigterm,
			What: "SIGTERM to a producer process and to a consumer process under load"},
		{Kind: 10, Name: "drain", Times: 3, Short: 1, Once: true, inject: drain,
			What: "the end of a subscription whose 8 handlers need 2 s more"},
	}
}
