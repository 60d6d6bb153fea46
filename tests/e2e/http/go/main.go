// Go's net/http as a server and as a client of the exchanges in calls.py; the standard library alone.
//
//	exchange server http|h2c|https|h2 LOG [CERTIFICATE KEY]
//	exchange client http1|http2                              calls on standard input, an account on standard output
package main

import (
	"os"
)

// Said is a line of an account (account.py).
type Said struct {
	Method       string `json:"method"`
	Path         string `json:"path"`
	Status       int    `json:"status"`
	RequestBody  int64  `json:"request_body_bytes"`
	ResponseBody int64  `json:"response_body_bytes"`
	Version      int    `json:"version"`
	TLS          bool   `json:"tls"`
}

func main() {
	if os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3], os.Args[4:])
	} else {
		call(os.Args[2])
	}
}
