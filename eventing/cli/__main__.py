from eventing.cli import main

main()
