// A server whose writer is kept within its call until its connection is gone.
//
// Arguments: certificate, key. The client has the answer, and leaves; the server's reader sees that, and closes; only then
// the writer goes on. Which calls have moved what is printed when all have ended.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
)

const request = "GET /late HTTP/1.1\r\nHost: here\r\n\r\n"
const response = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"

// Once it lingers, a write is left when `gone` is closed.
type lingering struct {
	net.Conn
	lingers atomic.Bool
	gone    chan struct{}
}

func (connection *lingering) Write(bytes []byte) (int, error) {
	count, err := connection.Conn.Write(bytes)
	if connection.lingers.Load() {
		<-connection.gone
	}
	return count, err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func serve(plain *net.TCPConn, certificate tls.Certificate, done chan<- int) {
	under := &lingering{Conn: plain, gone: make(chan struct{})}
	connection := tls.Server(under, &tls.Config{Certificates: []tls.Certificate{certificate}})
	_, err := io.ReadFull(connection, make([]byte, len(request)))
	check(err)
	under.lingers.Store(true)
	go func() {
		count, err := io.WriteString(connection, response)
		check(err)
		done <- count
	}()
	connection.Read(make([]byte, 1)) // ends with the client's connection
	check(plain.SetLinger(0))
	check(plain.Close())
	close(under.gone)
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	done := make(chan int)
	go func() {
		plain, err := listener.Accept()
		check(err)
		serve(plain.(*net.TCPConn), certificate, done)
	}()
	client, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	check(err)
	port := client.LocalAddr().(*net.TCPAddr).Port
	_, err = io.WriteString(client, request)
	check(err)
	_, err = io.ReadFull(client, make([]byte, len(response)))
	check(err)
	client.Close()
	written := <-done
	json.NewEncoder(os.Stdout).Encode(map[string]int{"port": port, "request": len(request), "response": written})
}
