package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"

	"pyrover.test/common"
)

// Call is one request to make (calls.py).
type Call struct {
	Method  string `json:"method"`
	Target  string `json:"target"`
	Body    int    `json:"body_bytes"`
	Chunked bool   `json:"chunked"`
}

type work struct {
	Base  string `json:"base"`
	CA    string `json:"ca"`
	Calls []Call `json:"calls"`
}

// call makes one call after the other over HTTP/1.1, and all at once over HTTP/2.
func call(kind string) {
	var given work
	common.Check(json.NewDecoder(os.Stdin).Decode(&given))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(kind == "http1")
	protocols.SetHTTP2(kind == "http2")
	protocols.SetUnencryptedHTTP2(kind == "http2")
	transport := &http.Transport{Protocols: protocols, DisableCompression: true, MaxConnsPerHost: 1}
	if given.CA != "" {
		authority, err := os.ReadFile(given.CA)
		common.Check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for _, one := range given.Calls {
		if kind == "http1" {
			exchange(client, given.Base, one)
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			exchange(client, given.Base, one)
		}()
	}
	all.Wait()
	client.CloseIdleConnections()
}

func exchange(client *http.Client, base string, one Call) {
	var content io.Reader
	if one.Body > 0 {
		content = bytes.NewReader(bytes.Repeat([]byte("y"), one.Body))
		if one.Chunked {
			content = io.MultiReader(content) // a reader of which the length is not known
		}
	}
	request, err := http.NewRequest(one.Method, base+one.Target, content)
	common.Check(err)
	response, err := client.Do(request)
	common.Check(err)
	received, err := io.Copy(io.Discard, response.Body)
	common.Check(err)
	common.Check(response.Body.Close())
	common.Tell(os.Stdout, Said{
		one.Method, one.Target, response.StatusCode, int64(one.Body), received, response.ProtoMajor,
		response.TLS != nil,
	})
}
